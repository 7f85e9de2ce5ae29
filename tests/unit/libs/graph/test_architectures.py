"""What each kind of model wants is data, and a picture larger than a model paints is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libs.graph.architectures import (
    ARCHITECTURES,
    Facts,
    facts_of,
    least_vram_mib,
    require_paintable,
)
from libs.graph.parse import parse
from libs.graph.reach import Reach
from libs.graph.refusal import GraphRefused
from libs.graph.schema import Catalogue
from libs.nodes.atlas import page
from libs.nodes.registry import schemas

BY_NAME = {facts.name: facts for facts in ARCHITECTURES}


def facts(name: str) -> Facts:
    return BY_NAME[name]


@pytest.mark.covers("R117", "R118", "R119")
def test_stable_diffusion_15_is_old_and_wants_little():
    assert (facts("sd1").width, facts("sd1").height) == (512, 512)
    assert facts("sd1").vram == "4 GB minimum"
    assert facts("sd1").status == "Legacy, widely supported"
    assert facts("sd1").lora_compatible


@pytest.mark.covers("R121", "R122", "R123", "R124")
def test_sdxl_is_the_standard_and_has_a_refiner():
    assert facts("sdxl").resolution == "1024x1024"
    assert facts("sdxl").vram == "8 GB minimum"
    assert facts("sdxl").status == "Production standard"
    assert facts("sdxl").lora_compatible
    assert "refiner" in facts("sdxl").variants
    assert "optional second stage" in facts("sdxl").note


@pytest.mark.covers("R125", "R126", "R127", "R128", "R129")
def test_stable_diffusion_3_has_three_text_encoders():
    assert facts("sd3").resolution == "1024x1024"
    assert facts("sd3").vram == "12 GB minimum"
    assert facts("sd3").status == "Current generation"
    assert facts("sd3").text_encoders == ("CLIP-L", "CLIP-G", "T5-XXL")
    assert facts("sd3").structure == "MMDiT (Multi-Modal Diffusion Transformer)"


@pytest.mark.covers("R130", "R131", "R132", "R133", "R134", "R135", "R136", "R137")
def test_flux_paints_up_to_2048_and_one_variant_is_not_published():
    assert facts("flux").resolution == "up to 2048x2048"
    assert facts("flux").vram == "12-24 GB"
    assert facts("flux").status == "Current generation"
    assert facts("flux").structure == "Rectified flow transformer"
    assert {"dev", "schnell"} <= set(facts("flux").variants)
    assert "not published" in facts("flux").unavailable["pro"]
    assert facts("flux").lora_compatible


@pytest.mark.covers("R140", "R141", "R144", "R145", "R148", "R149")
def test_videos_want_more():
    assert (facts("svd").height, facts("svd").width, facts("svd").vram_gb_min) == (576, 1024, 16)
    assert (facts("animatediff").resolution, facts("animatediff").vram_gb_min) == ("512x512", 12)
    cog = facts("cogvideox")
    assert (cog.height, cog.width, cog.vram_gb_min) == (480, 720, 24)


@pytest.mark.covers("R138", "R139", "R142", "R143", "R146", "R147")
def test_what_goes_into_a_video_and_how_long_it_becomes_is_said():
    assert facts("svd").note == "Input: a single picture. Output: 14 to 25 frames."
    assert "a text, or a picture, with a motion module" in facts("animatediff").note
    assert "16 to 32 frames" in facts("animatediff").note
    assert facts("cogvideox").note == "Input: a text. Output: up to 6 seconds."


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("flux1-dev.safetensors", "flux"),
        ("quants/FLUX1-schnell-Q4_K_S.gguf", "flux"),
        ("sd3.5_large.safetensors", "sd3"),
        ("sdxl_base_1.0.safetensors", "sdxl"),
        ("v1-5-pruned-emaonly.safetensors", "sd1"),
        ("svd_xt.safetensors", "svd"),
    ],
)
def test_well_known_files_are_told_by_their_names(name, kind):
    found = facts_of(name)
    assert found is not None
    assert found.name == kind


@pytest.mark.parametrize(
    ("files", "gigabytes"),
    [
        pytest.param(["checkpoints/sd15.safetensors"], 4, marks=pytest.mark.covers("R117")),
        pytest.param(
            ["checkpoints/sdxl_base_1.0.safetensors"], 8, marks=pytest.mark.covers("R121")
        ),
        pytest.param(["checkpoints/sd3.5_large.safetensors"], 12, marks=pytest.mark.covers("R126")),
        pytest.param(["unet/flux1-schnell.safetensors"], 12, marks=pytest.mark.covers("R131")),
        pytest.param(["checkpoints/svd_xt.safetensors"], 16, marks=pytest.mark.covers("R141")),
        pytest.param(
            ["checkpoints/sd15.safetensors", "motion/mm_sd_v15_v2.safetensors"],
            12,
            marks=pytest.mark.covers("R145"),
        ),
        pytest.param(
            ["diffusion_models/cogvideox_5b.safetensors"], 24, marks=pytest.mark.covers("R149")
        ),
        (["unet/flux1-dev-Q4_0.gguf", "unet/flux1-dev-fp8.safetensors"], 0),
        (["loras/sdxl_style.safetensors", "vae/sdxl_vae.safetensors"], 0),
        (["checkpoints/mine.safetensors"], 0),
    ],
)
def test_a_graph_goes_to_a_worker_with_the_memory_that_its_models_are_documented_to_need(
    files, gigabytes
):
    """Memory is sold by the billion of bytes; a card of 8 GB tells of 7.6 to 8 GiB."""
    assert least_vram_mib(files) == gigabytes * 10**9 // 2**20


def test_other_names_tell_nothing():
    assert facts_of("my-merge.safetensors") is None


def graph(width: int, unet: str = "flux1-dev.safetensors", **more: Any) -> dict[str, Any]:
    def node(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    return {
        "model": node("UNETLoader", unet_name=unet, weight_dtype="default"),
        "lora": node("LoraLoaderModelOnly", model=["model", 0], lora_name="a.safetensors", strength_model=1.0),
        "clip": node("DualCLIPLoader", clip_name1="t.safetensors", clip_name2="l.safetensors", type="flux"),
        "vae": node("VAELoader", vae_name="ae.safetensors"),
        "text": node("CLIPTextEncode", clip=["clip", 0], text="a fox"),
        "latent": node("EmptySD3LatentImage", width=width, height=64, batch_size=1),
        "sampler": node(
            "KSampler", model=["lora", 0], positive=["text", 0], negative=["text", 0],
            latent_image=["latent", 0], seed=1, steps=1, cfg=1.0, sampler_name="euler",
            scheduler="simple", denoise=1.0,
        ),
        "picture": node("VAEDecode", samples=["sampler", 0], vae=["vae", 0]),
        "larger": node(
            "ImageScale", image=["picture", 0], upscale_method="bilinear", width=4096, height=64,
            crop="disabled",
        ),
        "save": node("SaveImage", images=["larger", 0], filename_prefix="x"),
        **more,
    }  # fmt: skip


def reach(prompt: dict[str, Any]) -> Reach:
    return Reach.of(parse(prompt), Catalogue(schemas()))


@pytest.mark.covers("R130")
def test_flux_paints_2048_pixels_a_side_and_not_one_cell_more():
    # What is made larger behind the model is none of its business.
    require_paintable(reach(graph(2048)))
    with pytest.raises(GraphRefused) as refused:
        require_paintable(reach(graph(2064)))
    error = refused.value.error
    assert refused.value.status == 400
    assert error["type"] == "resolution_beyond_model"
    assert error["message"] == "width 2064 is beyond the 2048 pixels a side that Flux paints"
    assert list(refused.value.node_errors) == ["sampler"]


def test_other_models_are_not_bound_by_what_flux_paints():
    require_paintable(reach(graph(4096, unet="sd3.5_large.safetensors")))
    require_paintable(reach(graph(4096, unet="my-merge.safetensors")))


def test_the_page_about_kinds_of_models_is_in_step():
    written = (Path(__file__).parents[4] / "docs/architectures.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m libs.nodes.atlas > docs/architectures.md"
