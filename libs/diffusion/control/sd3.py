"""ControlNets for Stable Diffusion 3: they look at the hint as latents, as InstantX publishes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import SD3ControlNetModel
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures import sd3
from libs.diffusion.architectures.base import LatentFormat, Shapes
from libs.diffusion.architectures.patching import in_whole_patches
from libs.diffusion.architectures.sd3_names import CHANNELS_PER_HEAD
from libs.diffusion.control.base import Hint, require_text
from libs.diffusion.loader.build import build
from libs.sampling.control import Call, Residuals

MARK: Final = "pos_embed_input.proj.weight"


def detect(shapes: Shapes) -> StableDiffusion3Control | None:
    """Return the sizes, None if this is no such ControlNet."""
    if MARK not in shapes:
        return None
    if "context_embedder.weight" not in shapes or "pos_embed.proj.weight" not in shapes:
        raise Refused(
            "this ControlNet has no text of its own and borrows its model's; such files for "
            "Stable Diffusion 3.5 are not supported"
        )
    return StableDiffusion3Control(_config(shapes))


@dataclass(frozen=True)
class StableDiffusion3Control:
    """A ControlNet of one size."""

    config: Mapping[str, Any]
    name: str = "controlnet_sd3"
    types: int = 0
    latent: LatentFormat = sd3.LATENT
    multiple: int = 8
    looks_once: bool = False
    half: torch.dtype = torch.float16

    @property
    def extra_channels(self) -> int:
        """Those for filling masked parts take the mask behind the hint."""
        return int(self.config["extra_conditioning_channels"])

    def build(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Build the network from its tensors; raise Refused if they do not fit."""
        network: nn.Module = build(lambda: SD3ControlNetModel(**self.config), tensors)
        return network

    def residuals(self, network: nn.Module, call: Call, hint: Hint, strength: float) -> Residuals:
        """Return what is to be added behind each block."""
        require_text(
            call, self.config, "this ControlNet is for Stable Diffusion 3, and the model is none"
        )
        blocks = network(
            hidden_states=in_whole_patches(call.x),
            controlnet_cond=in_whole_patches(hint.values),
            conditioning_scale=strength,
            encoder_hidden_states=call.context,
            pooled_projections=call.extras["pooled"].to(call.x),
            timestep=call.timestep,
            return_dict=False,
        )[0]
        return {"blocks": blocks}


def _config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds this network from."""
    width, channels, patch, _ = shapes["pos_embed.proj.weight"]
    text_width, text = shapes["context_embedder.weight"]
    layers = len({n.split(".")[1] for n in shapes if n.startswith("transformer_blocks.")})
    dual = [at for at in range(layers) if f"transformer_blocks.{at}.attn2.to_q.weight" in shapes]
    normed = "transformer_blocks.0.attn.norm_q.weight" in shapes
    return {
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": channels,
        "num_layers": layers,
        "attention_head_dim": CHANNELS_PER_HEAD,
        "num_attention_heads": max(1, width // CHANNELS_PER_HEAD),
        "joint_attention_dim": text,
        "caption_projection_dim": text_width,
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "pos_embed_max_size": math.isqrt(shapes["pos_embed.pos_embed"][1]),
        "extra_conditioning_channels": shapes[MARK][1] - channels,
        "dual_attention_layers": tuple(dual),
        "qk_norm": "rms_norm" if normed else None,
    }
