"""Which files a graph names, and the memory they are taken to need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.graph.needs import (
    UNKNOWN_WEIGHTS_MIB,
    WeightsNeed,
    documented_vram_mib,
    estimate_vram_mib,
    inputs_named,
    needs,
)
from libs.graph.parse import parse
from libs.graph.reach import Reach
from libs.graph.uploads import annotated, upload_key
from tests.unit.libs.graph.sample import CATALOGUE, SDXL, changed, comfy, used


@pytest.mark.covers("R264")
def test_every_loader_that_is_needed_names_its_weights_once():
    prompt = changed("5", model=["9", 0])
    prompt["8"] = used("LoraLoader", model=["1", 0], clip=["1", 1], lora_name="a.safetensors")
    prompt["9"] = used("LoraLoader", model=["8", 0], clip=["8", 1], lora_name="b.safetensors")
    prompt["10"] = used("CheckpointLoaderSimple", ckpt_name=SDXL)
    prompt["11"] = used("SaveImage", images=["12", 0])
    prompt["12"] = used("ImageUpscaleWithModel", upscale_model=["13", 0], image=["6", 0])
    prompt["13"] = used("UpscaleModelLoader", model_name="4x.safetensors")
    assert needs(Reach.of(parse(prompt), CATALOGUE)) == (
        WeightsNeed("checkpoints", SDXL),
        WeightsNeed("loras", "a.safetensors"),
        WeightsNeed("loras", "b.safetensors"),
        WeightsNeed("upscale", "4x.safetensors"),
    )


def test_weights_that_nothing_needs_are_not_named():
    prompt = comfy()
    prompt["8"] = used("ControlNetLoader", control_net_name="x.safetensors")
    prompt["9"] = used("PreviewImage", images=["6", 0])
    assert needs(Reach.of(parse(prompt), CATALOGUE)) == (WeightsNeed("checkpoints", SDXL),)
    assert needs(Reach.of(parse(prompt), CATALOGUE, ("9",))) == (WeightsNeed("checkpoints", SDXL),)


def test_uploads_are_named_apart_from_weights():
    prompt = {
        "1": used("LoadImage", image="a/cat.png [output]"),
        "2": used("PreviewImage", images=["1", 0]),
    }
    assert inputs_named(Reach.of(parse(prompt), CATALOGUE)) == ("a/cat.png [output]",)
    assert needs(Reach.of(parse(prompt), CATALOGUE)) == ()


@pytest.mark.parametrize(
    ("written", "name", "kind"),
    [
        ("cat.png", "cat.png", "input"),
        ("cat.png [input]", "cat.png", "input"),
        ("a b/cat [1].png [output]", "a b/cat [1].png", "output"),
        ("cat.png [temp]", "cat.png", "temp"),
        ("cat.png[temp]", "cat.png[temp]", "input"),
        ("cat.png [other]", "cat.png [other]", "input"),
        (" [output]", "", "output"),
    ],
)
def test_an_annotation_tells_where_a_file_is(written: str, name: str, kind: str):
    assert annotated(written) == (name, kind)


ANNOTATIONS = (" [input]", " [output]", " [temp]", " [input] [input]")
GIB = 1024


@given(st.text(max_size=6) | st.just("x [temp]"), st.sampled_from(["", *ANNOTATIONS]))
def test_a_name_has_one_spelling_that_means_the_same_file(name: str, suffix: str):
    key = upload_key(name + suffix)
    assert upload_key(key) == key
    assert annotated(key) == annotated(name + suffix)


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        pytest.param("sdxl_base_1.0.safetensors", 6.5 * GIB, marks=pytest.mark.covers("R269")),
        pytest.param("sdxl_refiner_1.0.safetensors", 6.5 * GIB, marks=pytest.mark.covers("R270")),
        pytest.param("flux1-dev.safetensors", 12 * GIB, marks=pytest.mark.covers("R271")),
        pytest.param("flux1-dev-fp8.safetensors", 6 * GIB, marks=pytest.mark.covers("R272")),
        pytest.param("controlnet-sdxl-depth.safetensors", 1536, marks=pytest.mark.covers("R273")),
        pytest.param(
            "controlnet/control_v11p_sd15_canny.safetensors",
            1536,
            marks=pytest.mark.covers("R273"),
        ),
        pytest.param("loras/film_grain.safetensors", 200, marks=pytest.mark.covers("R274")),
        pytest.param("t5xxl_fp16.safetensors", 10 * GIB, marks=pytest.mark.covers("R275")),
        pytest.param(
            "clip/t5xxl_fp8_e4m3fn.safetensors", 5 * GIB, marks=pytest.mark.covers("R276")
        ),
        ("checkpoints/SDXL_Base.safetensors", 6.5 * GIB),
        ("checkpoints/XL/sd_xl_base_1.0.safetensors", 6.5 * GIB),
        ("checkpoints/explora_sdxl.safetensors", 6.5 * GIB),
        ("loras/sdxl_style.safetensors", 200),
    ],
)
def test_well_known_weights_have_the_documented_estimate(name: str, mib: float):
    assert documented_vram_mib(name) == mib
    assert estimate_vram_mib([name], {}) == mib


@pytest.mark.covers("R273", "R274")
def test_each_controlnet_and_each_lora_counts():
    names = ["controlnet/a", "controlnet/b", "loras/c", "loras/d", "loras/e"]
    assert estimate_vram_mib(names, {}) == 2 * 1536 + 3 * 200


@pytest.mark.parametrize(
    "name",
    [
        "vae/sdxl_vae.safetensors",
        "sdxl_vae.safetensors",
        "clip/sdxl_clip_l.safetensors",
        "diffusion_models/flux1-dev-Q4_0.gguf",
        "checkpoints/exploration.safetensors",
    ],
)
def test_weights_that_only_sound_well_known_count_with_their_size(name: str):
    assert documented_vram_mib(name) is None
    assert estimate_vram_mib([name], {name: 7}) == 7


@pytest.mark.covers("R113")
@pytest.mark.parametrize("bits", [4.5, 5.5, 6.5625, 8.5])
def test_a_quantised_flux_with_a_quantised_encoder_fits_a_gpu_of_16_gib(bits: float):
    """Flux has 11.9 billion weights and T5-XXL's encoder 4.76; GGUF files are their size."""
    flux, encoder = (int(count * bits / 8 / 2**20) for count in (11_900_000_000, 4_760_000_000))
    sizes = {
        "diffusion_models/flux1-dev-quantised.gguf": flux,
        "text_encoders/t5-v1_1-xxl-encoder-quantised.gguf": encoder,
        "clip/clip_l.safetensors": 235,
        "vae/ae.safetensors": 160,
    }
    fits = bits < 8
    assert (estimate_vram_mib(list(sizes), sizes) < 16 * 1024) is fits
    alone = {name: size for name, size in sizes.items() if "t5" not in name}
    assert estimate_vram_mib(list(alone), alone) < 16 * 1024


def test_other_weights_count_with_their_size():
    assert estimate_vram_mib(["checkpoints/mine"], {"checkpoints/mine": 12}) == 12
    assert estimate_vram_mib(["checkpoints/mine"], {}) == UNKNOWN_WEIGHTS_MIB


def test_a_file_larger_than_its_estimate_counts_with_its_size():
    sizes = {"checkpoints/flux1-dev.safetensors": 22_700}
    assert estimate_vram_mib(list(sizes), sizes) == 22_700


@pytest.mark.covers("R265", "R277")
@given(st.lists(st.sampled_from(["flux1-dev", "sdxl", "loras/a", "x", "y"])))
def test_the_estimate_is_the_sum_over_the_names(names: list[str]):
    sizes = {"x": 7, "y": 0}
    total = estimate_vram_mib(names, sizes)
    assert isinstance(total, int)
    assert total == sum(estimate_vram_mib([name], sizes) for name in names)
