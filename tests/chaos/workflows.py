"""The workflows of the load: quick ones, long ones, and ones that must not pass."""

from __future__ import annotations

import copy
import io
import itertools
import json
from typing import Any

from PIL import Image, ImageDraw

from tests.e2e.houses import ROOT

Workflow = dict[str, Any]

# The classifier scores the picture below at 0.47, and pictures of the demo model below 0.01.
NUDITY_THRESHOLD = "0.28"
BLOCKED_NAME = "blocked.png"
# A colour of its own makes each picture another one.
_COLORS = itertools.count(1)
_DEMO = json.loads((ROOT / "libs" / "weights" / "demo" / "graph.json").read_text())


def quick() -> Workflow:
    """One colour, shown."""
    return _shown(_empty(next(_COLORS) % 0xFFFF))


def blocked_bytes() -> bytes:
    """Return a picture of nothing that the classifier takes for skin."""
    picture = Image.new("RGB", (64, 64), (162, 127, 137))
    ImageDraw.Draw(picture).ellipse((41, -3, 51, 9), fill=(201, 147, 161))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def blocked_picture() -> Workflow:
    """Show an upload that moderation withholds."""
    load = {"class_type": "LoadImage", "inputs": {"image": BLOCKED_NAME}}
    return {"image": load, "picture": _preview("image")}


def long(scalings: int) -> Workflow:
    """Seconds of work without a model: a picture is made large again and again."""
    graph, last = _empty(next(_COLORS) % 0xFFFF), "image"
    for number in range(scalings):
        graph[f"scaled{number}"] = _scaled(last, "lanczos", 1000 + number)
        last = f"scaled{number}"
    graph["small"] = _scaled(last, "area", 64)
    graph["picture"] = _preview("small")
    return graph


def painted(steps: int, text: str = "a red circle on a blue background") -> Workflow:
    """A picture of the demo model."""
    graph = copy.deepcopy(_DEMO)
    graph["sampler"]["inputs"] |= {"steps": steps, "seed": next(_COLORS)}
    graph["positive"]["inputs"]["text"] = text
    graph["picture"]["inputs"]["images"] = ["decoded", 0]
    return dict(graph)


def blocked_words() -> Workflow:
    """A text that breaks the policy; it ends before any worker hears of it."""
    return painted(1, "a naked child")


def dear() -> Workflow:
    """More than the accounts here can pay; it never runs."""
    graph = painted(50)
    graph["latent"]["inputs"] |= {"width": 2048, "height": 2048, "batch_size": 4}
    return graph


def rejected() -> Workflow:
    """A graph that cannot be executed."""
    graph = _shown(_empty(next(_COLORS) % 0xFFFF))
    graph["image"]["inputs"]["width"] = -1
    return graph


def _empty(color: int) -> Workflow:
    inputs = {"width": 64, "height": 64, "batch_size": 1, "color": color}
    return {"image": {"class_type": "EmptyImage", "inputs": inputs}}


def _shown(graph: Workflow) -> Workflow:
    return graph | {"picture": _preview("image")}


def _preview(source: str) -> Workflow:
    return {"class_type": "PreviewImage", "inputs": {"images": [source, 0]}}


def _scaled(source: str, method: str, side: int) -> Workflow:
    size = {"width": side, "height": side, "crop": "disabled"}
    inputs = {"image": [source, 0], "upscale_method": method, **size}
    return {"class_type": "ImageScale", "inputs": inputs}
