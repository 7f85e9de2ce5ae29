"""The nodes that make control pictures: what they ask for, and what their graphs are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libs.core.errors import NotFound, Refused
from libs.graph.check import check
from libs.graph.limits import exceeded
from libs.graph.needs import needs
from libs.graph.parse import parse
from libs.graph.reach import Reach
from libs.graph.refusal import GraphRefused
from libs.graph.schema import Catalogue
from libs.graph.tiers import FREE
from libs.nodes.registry import load, schemas
from tests.unit.libs.nodes.fakes import FakeContext, FakeImage, Recorder

TYPES: Any = load()


def asked(node_type: str, **inputs: Any) -> Any:
    """Return what a node asked of the preprocessors: method, values, options."""
    preprocessors = Recorder("preprocessors")
    loader = Recorder("loader")
    loader.__dict__["preprocessors"] = preprocessors
    context = FakeContext(loader=loader)
    TYPES[node_type](context, image="i", **inputs)
    ((method, given, options),) = preprocessors.calls
    assert options.pop("on_step", context.step) == context.step
    return method, given, options


@pytest.mark.covers("R164", "R165", "R166", "R167", "R168", "R169", "R170")
@pytest.mark.parametrize(
    ("node_type", "method", "options"),
    [
        ("CannyEdgePreprocessor", "canny", {"low": 100, "high": 200, "resolution": 512}),
        ("ScribblePreprocessor", "scribble", {"resolution": 512}),
        ("Scribble_XDoG_Preprocessor", "scribble_photograph", {"threshold": 32, "resolution": 512}),
        (
            "HEDPreprocessor",
            "soft_edges",
            {"safe": True, "strokes_only": False, "resolution": 512},
        ),
        (
            "FakeScribblePreprocessor",
            "soft_edges",
            {"safe": True, "strokes_only": True, "resolution": 512},
        ),
        ("TilePreprocessor", "tile", {"halvings": 3, "resolution": 512}),
        ("OpenposePreprocessor", "poses", {"resolution": 512}),
        ("MiDaS-DepthMapPreprocessor", "depth", {"resolution": 512}),
        ("Zoe-DepthMapPreprocessor", "depth", {"resolution": 512}),
    ],
)
def test_a_preprocessor_asks_with_the_defaults_of_the_field(node_type, method, options):
    assert asked(node_type)[::2] == (method, options)
    optional = {spec.name: None for spec in schemas()[node_type].inputs if not spec.required}
    assert asked(node_type, **optional)[::2] == (method, options), "null is the default"
    assert asked(node_type, resolution=64)[2]["resolution"] == 64


@pytest.mark.covers("R164", "R170")
def test_thresholds_and_masks_are_handed_on():
    given = {"low_threshold": 0, "high_threshold": 1}
    assert asked("CannyEdgePreprocessor", **given)[2] == {"low": 0, "high": 1, "resolution": 512}
    assert asked("Canny") == ("canny_graded", ("i",), {"low": 0.4, "high": 0.8})
    black = asked("InpaintPreprocessor", mask="m", black_pixel_for_xinsir_cn=True)
    assert black == ("inpaint", ("i", "m"), {"black": True})
    assert asked("InpaintPreprocessor", mask="m")[2] == {"black": False}
    assert asked("HEDPreprocessor", safe="disable")[2]["safe"] is False


def test_without_bodies_no_skeleton_is_drawn():
    preprocessors, loader = Recorder(poses=FakeImage()), Recorder("loader")
    loader.__dict__["preprocessors"] = preprocessors
    TYPES["OpenposePreprocessor"](FakeContext(loader=loader), image="i", detect_body="disable")
    assert loader.calls == [("blank_image", (), {"width": 4, "height": 3, "count": 2, "color": 0})]


def test_a_depth_network_is_looked_up_by_its_usual_or_its_given_name():
    _, (image, path), _ = asked("Zoe-DepthMapPreprocessor")
    assert (image, path) == ("i", Path("depth/zoedepth-nyu-kitti.safetensors"))
    _, (_, other), _ = asked("MiDaS-DepthMapPreprocessor", model_name="mine.safetensors")
    assert other == Path("depth/mine.safetensors")


class Bare(FakeContext):
    """A world without any weights."""

    def weights(self, folder: str, name: str) -> Path:
        raise NotFound("there is no such file", folder=folder, name=name)


@pytest.mark.parametrize(
    ("node_type", "source"),
    [
        ("MiDaS-DepthMapPreprocessor", "Intel/dpt-hybrid-midas or Intel/dpt-large"),
        ("Zoe-DepthMapPreprocessor", "Intel/zoedepth-nyu-kitti"),
    ],
)
def test_a_missing_depth_network_is_told_with_where_to_get_and_to_put_it(node_type, source):
    with pytest.raises(Refused, match=f"model.safetensors of {source} there"):
        TYPES[node_type](Bare(), image="i")
    with pytest.raises(GraphRefused) as caught:
        check(parse(graph(node_type)), Catalogue(schemas(), {"input": ("a.png",)}))
    errors: Any = caught.value.node_errors
    (problem,) = errors["2"]["errors"]
    assert problem["type"] == "value_not_in_list"
    assert f"Put model.safetensors of {source} into models/depth" in problem["details"]


def test_the_usual_depth_network_counts_as_needed_so_that_a_worker_with_it_is_found():
    prompt = parse(graph("Zoe-DepthMapPreprocessor"))
    catalogue = Catalogue(schemas(), {"depth": ("zoedepth-nyu-kitti.safetensors",)})
    checked = check(prompt, catalogue)
    (need,) = needs(Reach.of(checked.graph, catalogue, checked.outputs))
    assert need.path == "depth/zoedepth-nyu-kitti.safetensors"


def test_a_resolution_beyond_the_tier_is_refused():
    catalogue = Catalogue(schemas())
    limits = exceeded(Reach.of(parse(graph("TilePreprocessor", resolution=1088)), catalogue), FREE)
    assert [(limit.node_id, limit.received) for limit in limits] == [("2", 1088), ("2", 1088)]
    fits = graph("TilePreprocessor", resolution=1024)
    assert exceeded(Reach.of(parse(fits), catalogue), FREE) == []


def graph(node_type: str, **inputs: Any) -> Any:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": node_type, "inputs": {"image": ["1", 0], **inputs}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
