"""Small pictures of templates: what the demo model made, else a drawing of the graph itself."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from libs.core.jsonvalue import JsonObject
from libs.nodes import templates

MIME: Final = "image/webp"
QUALITY: Final = 80
# The editor cuts what is not square.
SIDE: Final = 480
# Drawn at twice its size and made smaller, lines are smooth.
FINE: Final = 2
MARGIN: Final = 20
HEAD: Final = 36
# How much more a graph may be stretched downwards, since most are wide.
STRETCH_MAX: Final = 2.2
RADIUS: Final = 10
STROKE: Final = 3
BEND_STEPS: Final = 24
LETTERS: Final = 22
GROUND, BODY, TITLE, WORDS = "#1b1d22", "#353840", "#4a4f5a", "#e8eaee"
NOTE: Final = "MarkdownNote"
WIRES: Final = {
    "MODEL": "#b39ddb",
    "CLIP": "#ffd54f",
    "VAE": "#ff8a80",
    "CONDITIONING": "#ffab72",
    "LATENT": "#ff80d5",
    "IMAGE": "#64b5f6",
    "MASK": "#81c784",
}
OTHER_WIRE: Final = "#9e9e9e"


class Point(NamedTuple):
    """A place on the canvas."""

    x: float
    y: float


@dataclass(frozen=True)
class Shape:
    """A node as it is drawn, with its title as its head."""

    left: Point
    right: Point
    title: str
    colour: str

    def socket(self, slot: int, *, output: bool) -> Point:
        """Return where a socket is."""
        drop = HEAD + (slot + 1) * HEAD / 2
        x = self.right.x if output else self.left.x
        return Point(x, min(self.left.y + drop, self.right.y - RADIUS))


@cache
def thumbnail(name: str) -> bytes:
    """Return the picture of a template."""
    if name == templates.DEMO:
        return (templates.DEMO_FOLDER / "picture.webp").read_bytes()
    return diagram(templates.document(name))


def diagram(document: JsonObject) -> bytes:
    """Return a drawing of a workflow's nodes and wires."""
    image = Image.new("RGB", (SIDE * FINE, SIDE * FINE), GROUND)
    pen = ImageDraw.Draw(image)
    shapes = _shapes(document)
    for link in _list(document, "links"):
        _, source, slot, target, place, kind = link
        _wire(
            pen,
            shapes[source].socket(slot, output=True),
            shapes[target].socket(place, output=False),
            WIRES.get(kind, OTHER_WIRE),
        )
    for shape in shapes.values():
        _draw(pen, shape)
    out = io.BytesIO()
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(out, "WEBP", quality=QUALITY)
    return out.getvalue()


def _shapes(document: JsonObject) -> dict[int, Shape]:
    nodes = [node for node in _list(document, "nodes") if node["type"] != NOTE]
    left = min(node["pos"][0] for node in nodes)
    top = min(node["pos"][1] for node in nodes)
    wide = max(node["pos"][0] + node["size"][0] for node in nodes) - left
    high = max(node["pos"][1] + node["size"][1] for node in nodes) - top
    room = (SIDE - 2 * MARGIN) * FINE
    across = room / wide
    down = min(room / high, across * STRETCH_MAX)
    start = MARGIN * FINE + (room - high * down) / 2

    def at(x: float, y: float) -> Point:
        return Point(MARGIN * FINE + (x - left) * across, start + (y - top) * down)

    return {
        node["id"]: Shape(
            at(*node["pos"]),
            at(node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1]),
            node.get("title") or node["type"],
            node.get("bgcolor", BODY),
        )
        for node in nodes
    }


def _draw(pen: ImageDraw.ImageDraw, shape: Shape) -> None:
    head = (*shape.left, shape.right.x, shape.left.y + HEAD)
    pen.rounded_rectangle((*shape.left, *shape.right), RADIUS, fill=shape.colour)
    pen.rounded_rectangle(head, RADIUS, fill=TITLE, corners=(True, True, False, False))
    font = ImageFont.load_default(LETTERS)
    room = shape.right.x - shape.left.x - RADIUS
    title = shape.title
    while title and pen.textlength(title, font=font) > room:
        title = title[:-1]
    middle = shape.left.y + HEAD / 2
    pen.text((shape.left.x + RADIUS / 2, middle), title, fill=WORDS, font=font, anchor="lm")


def _wire(pen: ImageDraw.ImageDraw, begin: Point, end: Point, colour: str) -> None:
    bend = max(abs(end.x - begin.x) / 2, 30)
    points = []
    for step in range(BEND_STEPS + 1):
        t = step / BEND_STEPS
        ways = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
        across = (begin.x, begin.x + bend, end.x - bend, end.x)
        down = (begin.y, begin.y, end.y, end.y)
        points.append(
            (
                sum(way * x for way, x in zip(ways, across, strict=True)),
                sum(way * y for way, y in zip(ways, down, strict=True)),
            )
        )
    pen.line(points, fill=colour, width=STROKE, joint="curve")


def _list(document: JsonObject, name: str) -> list[Any]:
    found = document[name]
    return found if isinstance(found, list) else []
