"""How large the pictures and latents of a graph become, as far as its literals tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from libs.graph.effective import number
from libs.graph.schema import Catalogue, NodeSchema
from libs.graph.sockets import types_of
from libs.graph.value import Graph, Link, Node

PIXEL_TYPES: Final = frozenset({"LATENT", "IMAGE", "MASK", "VIDEO"})
SIDE_UNKNOWN_PIXELS: Final = 1024
MODEL_UPSCALE: Final = 4
# Far beyond what any tier allows; a chain of enlargements would otherwise leave every number.
MOST: Final = 2**24
FRAME_NAMES: Final = ("length", "video_frames", "num_frames", "frames")
PAD_NAMES: Final = ("left", "right", "top", "bottom")
SIZE_NAMES: Final = frozenset(
    {
        "width",
        "height",
        "resolution",
        "scale_by",
        "megapixels",
        "batch_size",
        "amount",
        *FRAME_NAMES,
        *PAD_NAMES,
    }
)
# They cut batches into others; what comes behind is done for all of them.
CUTTING_TYPES: Final = frozenset({"RebatchLatents", "RebatchImages"})
JOINING_TYPES: Final = frozenset({"LatentBatch", "ImageBatch"})


@dataclass(frozen=True)
class Extent:
    """Width and height in pixels, pictures in the batch, frames per picture.

    `exact` is false where a picture comes from outside and its size is only assumed.
    """

    width: int = SIDE_UNKNOWN_PIXELS
    height: int = SIDE_UNKNOWN_PIXELS
    batch: int = 1
    frames: int = 1
    exact: bool = False

    @property
    def megapixels(self) -> float:
        """Return the size of everything together, in millions of pixels."""
        return self.width * self.height * self.batch * self.frames / 1e6


def extents(
    graph: Graph, catalogue: Catalogue, sources: Mapping[str, Sequence[str]]
) -> dict[str, Extent]:
    """Return the extent of every node that makes or takes pixels; `sources` are a walk's."""
    known: dict[str, Extent] = {}
    for node_id, before in sources.items():
        node = graph.nodes[node_id]
        schema = catalogue.types.get(node.type)
        if schema is None:
            continue
        incoming = [known[source] for source in before if source in known]
        latents = [known[source] for source in _latents_into(node, schema) if source in known]
        if incoming or makes_pixels(schema):
            known[node_id] = _Reader(graph, node, schema).extent(latents or incoming)
    return known


def _latents_into(node: Node, schema: NodeSchema) -> list[str]:
    """Return whose latents a node makes latents of: what else it is shown changes no size."""
    if any(output.type != "LATENT" for output in schema.outputs):
        return []
    wires = (node.inputs.get(spec.name) for spec in schema.inputs if spec.type == "LATENT")
    return [wire.node_id for wire in wires if isinstance(wire, Link)]


def makes_pixels(schema: NodeSchema) -> bool:
    """Say whether a node type puts out pictures, latents, masks or video."""
    return any(not PIXEL_TYPES.isdisjoint(types_of(output.type)) for output in schema.outputs)


@dataclass(frozen=True)
class _Reader:
    graph: Graph
    node: Node
    schema: NodeSchema

    def extent(self, incoming: Sequence[Extent]) -> Extent:
        base = max(incoming, key=lambda extent: extent.width * extent.height, default=None)
        found = base or Extent()
        if not makes_pixels(self.schema):
            return found  # Sizes written on such a node steer words, not pixels.
        if self._may_change_size():
            found = self._resized(found, generated=base is None)
            found = self._brought_to(found)
            found = self._scaled(found)
        return self._multiplied(found, incoming)

    def _may_change_size(self) -> bool:
        """Say whether an input may speak of a size; most nodes of a large graph have none."""
        return (
            self.schema.accepts_any_input
            or not SIZE_NAMES.isdisjoint(self.schema.inputs_by_name)
            or self._upscales()
        )

    def _upscales(self) -> bool:
        return any(spec.type == "UPSCALE_MODEL" for spec in self.schema.inputs)

    def _resized(self, extent: Extent, *, generated: bool) -> Extent:
        width, height = self._integer("width"), self._integer("height")
        if width and height:
            return replace(extent, width=width, height=height, exact=True)
        if width and not generated:
            return replace(extent, width=width, height=_side(extent.height * width // extent.width))
        if height and not generated:
            return replace(
                extent, width=_side(extent.width * height // extent.height), height=height
            )
        return extent

    def _brought_to(self, extent: Extent) -> Extent:
        """Return the size at a `resolution`, which is one of the shorter side."""
        shorter = self._integer("resolution")
        if not shorter:
            return extent
        factor = shorter / min(extent.width, extent.height)
        width, height = _side(extent.width * factor), _side(extent.height * factor)
        # The longer side may only be assumed, but neither is shorter than this.
        return replace(extent, width=width, height=height, exact=True)

    def _scaled(self, extent: Extent) -> Extent:
        factor = min(self._number("scale_by") or 1.0, MOST)
        if self._upscales():
            factor *= MODEL_UPSCALE
        megapixels = self._number("megapixels")
        if megapixels and megapixels > 0:
            factor *= math.sqrt(megapixels * 2**20 / (extent.width * extent.height))
        width, height = extent.width * factor, extent.height * factor
        if all(self._integer(name) is not None for name in PAD_NAMES):
            left, right, top, bottom = (self._integer(name) or 0 for name in PAD_NAMES)
            width, height = width + left + right, height + top + bottom
        return replace(extent, width=_side(width), height=_side(height))

    def _multiplied(self, extent: Extent, incoming: Sequence[Extent]) -> Extent:
        batch = max((other.batch for other in incoming), default=1)
        if self.node.type in JOINING_TYPES:
            batch = sum(other.batch for other in incoming)
        frames = max((other.frames for other in incoming), default=1)
        if self._may_change_size() and self.node.type not in CUTTING_TYPES:
            batch = (self._integer("batch_size") or batch) * (self._integer("amount") or 1)
            named = [self._integer(name) for name in FRAME_NAMES]
            frames = next((count for count in named if count), frames)
        if (batch, frames) == (extent.batch, extent.frames):
            return extent
        batch, frames = (min(max(1, count), MOST) for count in (batch, frames))
        return replace(extent, batch=batch, frames=frames)

    def _number(self, name: str) -> float | None:
        return number(self.graph, self.node, self.schema, name)

    def _integer(self, name: str) -> int | None:
        found = self._number(name)
        return None if found is None else int(min(max(found, -MOST), MOST))


def _side(pixels: float) -> int:
    return round(min(max(pixels, 1), MOST))
