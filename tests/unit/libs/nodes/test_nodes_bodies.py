"""Nodes ask the values they receive, and hand on what those answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libs.nodes.registry import load
from tests.unit.libs.nodes.fakes import FakeContext, Recorder

TYPES: Any = load()


def asked(value: Recorder) -> Any:
    assert len(value.calls) == 1
    return value.calls[0]


def test_a_checkpoint_is_looked_up_by_folder_and_name():
    loader = Recorder(checkpoint=("model", "clip", "vae"))
    given = TYPES["CheckpointLoaderSimple"](FakeContext(loader=loader), ckpt_name="a.safetensors")
    assert given == ("model", "clip", "vae")
    assert asked(loader) == ("checkpoint", (Path("checkpoints/a.safetensors"),), {})


@pytest.mark.parametrize(
    ("name", "field", "method", "folder"),
    [
        ("VAELoader", "vae_name", "vae", "vae"),
        ("UpscaleModelLoader", "model_name", "upscale_model", "upscale"),
    ],
)
def test_other_weights_have_folders_of_their_own(name, field, method, folder):
    loader = Recorder()
    TYPES[name](FakeContext(loader=loader), **{field: "a.safetensors"})
    assert asked(loader) == (method, (Path(folder) / "a.safetensors",), {})


@pytest.mark.covers("R103")
def test_the_sampler_hands_on_all_ten_inputs():
    model, context = Recorder(), FakeContext()
    given = {
        "seed": 5, "steps": 7, "cfg": 3.5, "sampler_name": "euler", "scheduler": "karras",
        "positive": "p", "negative": "n", "latent_image": "l", "denoise": 0.5,
    }  # fmt: skip
    TYPES["KSampler"](context, model=model, **given)
    method, args, kwargs = asked(model)
    assert (method, args) == ("sample", ("l",))
    assert kwargs.pop("on_step") == context.step
    assert kwargs == {
        "positive": "p", "negative": "n", "seed": 5, "steps": 7, "cfg": 3.5,
        "sampler": "euler", "scheduler": "karras", "denoise": 0.5,
    }  # fmt: skip


def test_the_advanced_sampler_does_a_part_of_the_steps():
    model = Recorder()
    TYPES["KSamplerAdvanced"](
        FakeContext(), model=model, add_noise="disable", noise_seed=5, steps=20, cfg=7.0,
        sampler_name="euler", scheduler="karras", positive="p", negative="n", latent_image="l",
        start_at_step=3, end_at_step=9, return_with_leftover_noise="enable",
    )  # fmt: skip
    kwargs = asked(model)[2]
    assert (kwargs["add_noise"], kwargs["keep_noise"]) == (False, True)
    assert (kwargs["first_step"], kwargs["last_step"]) == (3, 9)


@pytest.mark.parametrize(
    ("name", "asked_of", "inputs", "method", "args"),
    [
        ("CLIPTextEncode", "clip", {"text": "a fox"}, "encode", ("a fox",)),
        ("CLIPSetLastLayer", "clip", {"stop_at_clip_layer": -2}, "stopping_at", (-2,)),
        ("VAEEncode", "vae", {"pixels": "i"}, "encode", ("i",)),
        (
            "VAEEncodeForInpaint",
            "vae",
            {"pixels": "i", "mask": "m", "grow_mask_by": 3},
            "encode_around",
            ("i", "m", 3),
        ),
        ("SetLatentNoiseMask", "samples", {"mask": "m"}, "masked", ("m",)),
        (
            "LatentUpscale",
            "samples",
            {"upscale_method": "area", "width": 8, "height": 9, "crop": "center"},
            "scaled",
            ("area", 8, 9, "center"),
        ),
        (
            "ImageScale",
            "image",
            {"upscale_method": "area", "width": 8, "height": 9, "crop": "center"},
            "scaled",
            ("area", 8, 9, "center"),
        ),
        ("ImageInvert", "image", {}, "inverted", ()),
        ("ConditioningCombine", "conditioning_1", {"conditioning_2": "c"}, "combined", ("c",)),
        ("ConditioningConcat", "conditioning_to", {"conditioning_from": "c"}, "joined", ("c",)),
        (
            "ConditioningAverage",
            "conditioning_to",
            {"conditioning_from": "c", "conditioning_to_strength": 0.3},
            "averaged",
            ("c", 0.3),
        ),
        (
            "ConditioningSetTimestepRange",
            "conditioning",
            {"start": 0.1, "end": 0.9},
            "during",
            (0.1, 0.9),
        ),
    ],
)
def test_a_node_asks_the_value_it_is_about(name, asked_of, inputs, method, args):
    value = Recorder()
    TYPES[name](**{asked_of: value}, **inputs)
    assert asked(value) == (method, args, {})


def test_a_picture_is_decoded_now_or_while_the_next_nodes_are_executed():
    for make in (None, lambda: None):
        vae = Recorder(decoding=("picture", make))
        shown = TYPES["VAEDecode"](samples="l", vae=vae)
        assert asked(vae) == ("decoding", ("l",), {})
        assert (shown.value, shown.ui) == ("picture", make)


def test_a_latent_is_kept_with_its_workflow():
    context = FakeContext(prompt={"1": {}}, extra_pnginfo={"workflow": {"nodes": []}})
    samples = Recorder(to_bytes=b"latent")
    shown = TYPES["SaveLatent"](context, samples=samples, filename_prefix="latents/x")
    assert context.saved[0].data == b"latent"
    assert context.saved[0].extension == "latent"
    assert asked(samples)[1] == ({"prompt": '{"1": {}}', "workflow": '{"nodes": []}'},)
    assert list(shown.ui) == ["latents"]


def test_an_upload_becomes_a_picture_and_a_mask():
    for name in ("LoadImage", "LoadImageOutput"):
        loader = Recorder(picture=("image", "mask"))
        assert TYPES[name](FakeContext(loader=loader), image="a.png") == ("image", "mask")
        assert asked(loader) == ("picture", (b"a.png",), {})


def test_an_upload_becomes_a_mask():
    loader = Recorder(picture_mask="mask")
    context = FakeContext(loader=loader)
    assert TYPES["LoadImageMask"](context, image="a.png", channel="red") == "mask"
    assert asked(loader) == ("picture_mask", (b"a.png", "red"), {})


def test_blank_values_come_from_the_loader():
    loader = Recorder()
    context = FakeContext(loader=loader)
    TYPES["EmptyLatentImage"](context, width=64, height=32, batch_size=2)
    TYPES["EmptyImage"](context, width=8, height=9, batch_size=1, color=255)
    assert loader.calls == [
        ("blank_latent", (), {"width": 64, "height": 32, "count": 2}),
        ("blank_image", (), {"width": 8, "height": 9, "count": 1, "color": 255}),
    ]


def test_upscaling_and_areas_hand_on_what_they_were_given():
    upscaler, conditioning, context = Recorder(), Recorder(), FakeContext()
    TYPES["ImageUpscaleWithModel"](context, upscale_model=upscaler, image="i")
    assert asked(upscaler) == ("upscale", ("i", context.step), {})
    place = {"width": 64, "height": 72, "x": 8, "y": 16, "strength": 0.5}
    TYPES["ConditioningSetArea"](conditioning=conditioning, **place)
    assert asked(conditioning) == ("within", (), place)
