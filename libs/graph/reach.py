"""What the outputs of a graph need: walked once, asked by limits, weights and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from libs.graph.extent import Extent, extents
from libs.graph.schema import Catalogue
from libs.graph.value import Graph
from libs.graph.walk import output_nodes, walk


@dataclass(frozen=True)
class Reach:
    """A checked graph as far as its `outputs` reach."""

    graph: Graph
    catalogue: Catalogue
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, graph: Graph, catalogue: Catalogue, outputs: Sequence[str] | None = None) -> Self:
        """Return what `outputs` reach; without them, what all output nodes reach."""
        roots = output_nodes(graph, catalogue) if outputs is None else tuple(outputs)
        return cls(graph, catalogue, roots)

    @cached_property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """Return, for each needed node, what it needs directly; the keys are in a plan's order."""
        return walk(self.graph, self.catalogue, self.outputs)

    @cached_property
    def extents(self) -> Mapping[str, Extent]:
        """Return how large pictures and latents are at each needed node that has any."""
        return extents(self.graph, self.catalogue, self.sources)
