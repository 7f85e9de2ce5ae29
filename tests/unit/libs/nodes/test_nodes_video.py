"""What the nodes for videos promise in the editor, and refuse before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libs.core.errors import Refused
from libs.graph.check import check
from libs.graph.parse import parse
from libs.graph.refusal import GraphRefused
from libs.graph.schema import Catalogue
from libs.nodes.registry import load, schemas
from tests.unit.libs.nodes.fakes import FakeContext, Recorder

TYPES: Any = load()
FILES = {"checkpoints": ("svd.safetensors",), "input": ("fox.png",)}


def svd_graph(**changed: Any) -> dict[str, Any]:
    wired = {"clip_vision": ["svd", 1], "init_image": ["fox", 0], "vae": ["svd", 2]}
    given = {
        "width": 1024, "height": 576, "video_frames": 14, "motion_bucket_id": 127, "fps": 6,
        "augmentation_level": 0.0,
    }  # fmt: skip
    inputs = {name: value for name, value in (wired | given | changed).items() if value is not None}
    return {
        "svd": {
            "class_type": "ImageOnlyCheckpointLoader",
            "inputs": {"ckpt_name": "svd.safetensors"},
        },
        "fox": {"class_type": "LoadImage", "inputs": {"image": "fox.png"}},
        "animate": {"class_type": "SVD_img2vid_Conditioning", "inputs": inputs},
        "end": {
            "class_type": "SaveLatent",
            "inputs": {"samples": ["animate", 2], "filename_prefix": "v"},
        },
    }


def problems(prompt: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong, by kind and input."""
    found: Any
    try:
        found = check(parse(prompt), Catalogue(schemas(), FILES)).node_errors
    except GraphRefused as refused:
        found = refused.node_errors
    return [
        (one["type"], one["extra_info"]["input_name"])
        for entry in found.values()
        for one in entry["errors"]
    ]


@pytest.mark.covers("R138", "R140")
def test_a_video_of_a_picture_is_1024_wide_and_576_high_unless_told_otherwise():
    schema = schemas()["SVD_img2vid_Conditioning"]
    defaults = {one.name: one.default for one in schema.inputs}
    assert (defaults["width"], defaults["height"]) == (1024, 576)
    pictures = [one.name for one in schema.inputs if one.type == "IMAGE" and one.required]
    assert pictures == ["init_image"]


@pytest.mark.covers("R138")
def test_a_graph_without_the_picture_is_refused():
    assert problems(svd_graph()) == []
    assert problems(svd_graph(init_image=None)) == [("required_input_missing", "init_image")]


@pytest.mark.covers("R139")
@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (13, [("value_smaller_than_min", "video_frames")]),
        (14, []),
        (25, []),
        (26, [("value_bigger_than_max", "video_frames")]),
    ],
)
def test_a_video_of_a_picture_has_fourteen_to_twenty_five_frames(frames, said):
    assert problems(svd_graph(video_frames=frames)) == said


def test_the_three_parts_of_a_checkpoint_without_text():
    loader = Recorder(image_checkpoint=("model", "vision", "vae"))
    given = TYPES["ImageOnlyCheckpointLoader"](FakeContext(loader=loader), ckpt_name="svd")
    assert given == ("model", "vision", "vae")
    assert loader.calls == [("image_checkpoint", (Path("checkpoints/svd"),), {})]


def test_a_picture_is_animated_by_the_network_that_sees_it():
    vision, loader = Recorder(animating=("p", "n")), Recorder(blank_latent="l")
    given = {"width": 64, "height": 32, "motion_bucket_id": 9, "fps": 7, "augmentation_level": 0.5}
    made = TYPES["SVD_img2vid_Conditioning"](
        FakeContext(loader=loader),
        clip_vision=vision,
        init_image="picture",
        vae="vae",
        video_frames=20,
        **given,
    )
    assert made == ("p", "n", "l")
    assert vision.calls == [("animating", ("picture", "vae"), given)]
    assert loader.calls == [("blank_latent", (), {"width": 64, "height": 32, "count": 20})]


@pytest.mark.parametrize(
    ("name", "course"),
    [("VideoLinearCFGGuidance", "rising"), ("VideoTriangleCFGGuidance", "triangle")],
)
def test_guidance_may_differ_from_frame_to_frame(name, course):
    model = Recorder()
    TYPES[name](model=model, min_cfg=1.5)
    assert model.calls == [("guided_by_frame", (course, 1.5), {})]


def motion_graph(**changed: Any) -> dict[str, Any]:
    given = {"width": 512, "height": 512, "length": 16} | changed
    return {
        "empty": {"class_type": "EmptyLatentVideo", "inputs": given},
        "end": {
            "class_type": "SaveLatent",
            "inputs": {"samples": ["empty", 0], "filename_prefix": "v"},
        },
    }


@pytest.mark.covers("R144")
def test_an_animated_picture_is_512_by_512_unless_told_otherwise():
    defaults = {one.name: one.default for one in schemas()["EmptyLatentVideo"].inputs}
    assert defaults == {"width": 512, "height": 512, "length": 16}


@pytest.mark.covers("R143")
@pytest.mark.parametrize(
    ("length", "said"),
    [
        (15, [("value_smaller_than_min", "length")]),
        (16, []),
        (32, []),
        (33, [("value_bigger_than_max", "length")]),
    ],
)
def test_an_animated_picture_has_sixteen_to_thirty_two_frames(length, said):
    assert problems(motion_graph(length=length)) == said


@pytest.mark.covers("R142")
def test_a_motion_model_is_set_into_a_model_of_pictures():
    loader, motion = Recorder(motion_model="motion"), Recorder(applied_to="moving")
    context = FakeContext(loader=loader)
    assert TYPES["MotionModelLoader"](context, motion_name="mm.safetensors") == "motion"
    assert loader.calls == [("motion_model", (Path("motion/mm.safetensors"),), {})]
    assert TYPES["AnimateDiffApply"](model="model", motion_model=motion) == "moving"
    assert motion.calls == [("applied_to", ("model", 16, 4), {})]


@pytest.mark.covers("R146", "R148")
@pytest.mark.parametrize("name", ["EmptyCogVideoXLatentVideo", "CogVideoXImageToVideo"])
def test_a_video_of_a_text_is_720_wide_and_480_high_unless_told_otherwise(name):
    defaults = {one.name: one.default for one in schemas()[name].inputs}
    assert (defaults["width"], defaults["height"]) == (720, 480)
    assert (defaults["length"], defaults["fps"]) == (49, 8)


@pytest.mark.covers("R147")
@pytest.mark.parametrize(("length", "fps"), [(49, 8), (97, 16), (1, 1), (7, 1)])
def test_a_video_of_a_text_lasts_up_to_six_seconds(length, fps):
    loader = Recorder(blank_video="latent")
    context = FakeContext(loader=loader)
    make = TYPES["EmptyCogVideoXLatentVideo"]
    assert make(context, width=64, height=32, length=length, fps=fps) == "latent"
    assert loader.calls == [("blank_video", (), {"width": 64, "height": 32, "length": length})]


@pytest.mark.covers("R147")
@pytest.mark.parametrize(("length", "fps"), [(50, 8), (97, 15), (8, 1)])
@pytest.mark.parametrize("name", ["EmptyCogVideoXLatentVideo", "CogVideoXImageToVideo"])
def test_a_longer_video_is_refused_before_anything_is_computed(name, length, fps):
    wired = {"positive": "p", "negative": "n", "vae": "v", "start_image": "i"}
    given = wired if name == "CogVideoXImageToVideo" else {}
    with pytest.raises(Refused, match="up to 6 seconds") as refused:
        TYPES[name](FakeContext(loader=Recorder()), length=length, fps=fps, **given)
    assert refused.value.facts["field"] == "length"
    assert refused.value.facts["length_max"] == 6 * fps + 1


def test_three_files_make_one_model():
    loader = Recorder(video_model=("model", "clip", "vae"))
    given = TYPES["CogVideoXLoader"](
        FakeContext(loader=loader), model_name="m", clip_name="t", vae_name="v"
    )
    assert given == ("model", "clip", "vae")
    paths = (Path("diffusion_models/m"), Path("text_encoders/t"), Path("vae/v"))
    assert loader.calls == [("video_model", paths, {})]


def test_both_texts_are_told_of_the_picture_that_a_video_begins_with():
    first = Recorder(leading="led")
    vae, image = Recorder(beginning=first), Recorder(scaled="fitted")
    made = TYPES["CogVideoXImageToVideo"](
        FakeContext(loader=Recorder(blank_video="latent")),
        positive="p",
        negative="n",
        vae=vae,
        start_image=image,
    )
    assert made == ("led", "led", "latent")
    assert image.calls == [("scaled", ("bilinear", 720, 480, "center"), {})]
    assert vae.calls == [("beginning", ("fitted", 49), {})]
    assert [args for _, args, _ in first.calls] == [("p",), ("n",)]
