"""Fleets for tests: everything that Painter knows, the demo model alone, nothing at all."""

from __future__ import annotations

from libs.graph.schema import Catalogue
from libs.graph.tiers import TIERS, Tier
from libs.nodes.registry import schemas
from services.painter.domain.plan import Limits
from services.painter.domain.shelf import Fleet

DEMO_FILES = {
    "checkpoints": ("hanzo-demo-64.safetensors",),
    "upscale": ("realesr-animevideov3-x4.safetensors",),
}
FILES = {
    "checkpoints": (
        *("hanzo-demo-64.safetensors", "sd_xl_base_1.0.safetensors"),
        *("sd3.5_large.safetensors", "v1-5-pruned-emaonly.safetensors"),
        "flux1-dev-fp8.safetensors",
    ),
    "diffusion_models": ("flux1-schnell.safetensors",),
    "text_encoders": ("t5xxl_fp16.safetensors", "clip_l.safetensors", "clip_g.safetensors"),
    "vae": ("ae.safetensors", "vae-ft-mse-840000.safetensors"),
    "loras": ("film_grain.safetensors", "pixel_art_v2.safetensors"),
    "controlnet": (
        *("control_v11p_sd15_canny.safetensors", "control_v11f1p_sd15_depth.safetensors"),
        *("control_v11p_sd15_openpose.safetensors", "control_v11p_sd15_scribble.safetensors"),
        *("controlnet-union-sdxl-1.0.safetensors", "flux.1-dev-controlnet-union.safetensors"),
        "sd3.5_large_controlnet_canny.safetensors",
    ),
    "ipadapter": ("ip-adapter_sd15.safetensors", "ip-adapter_sdxl_vit-h.safetensors"),
    "clip_vision": (
        *("CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "sigclip_vision_patch14_384.safetensors"),
    ),
    "style_models": ("flux1-redux-dev.safetensors",),
    "upscale": ("realesr-animevideov3-x4.safetensors",),
    "depth": ("dpt-hybrid-midas.safetensors",),
}
FULL, DEMO, NOTHING = Fleet(FILES), Fleet(DEMO_FILES), Fleet()
# Names as Painter gives them to pictures that it keeps.
INPUTS = ("painter-reference.png", "painter-control.png", "painter-mask.png", "made.png [output]")


def catalogue(fleet: Fleet) -> Catalogue:
    """Return the node types as a validator sees them with the fleet's files."""
    return Catalogue(schemas(), {**fleet.files, "input": INPUTS})


def limits(name: str = "owner") -> Limits:
    """Return what a tier allows, as the account says it."""
    tier: Tier = TIERS[name]
    return Limits.of(
        {
            "tier": tier.name,
            "limits": {
                "side_pixels_max": tier.resolution_side_pixels_max,
                "steps_max": tier.steps_max,
                "batch_max": tier.batch_max,
                "models": list(tier.models) if tier.models is not None else None,
            },
        }
    )
