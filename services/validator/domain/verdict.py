"""From a submission to a verdict: what will be executed, or why nothing will."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.architectures import least_vram_mib, require_paintable
from libs.graph.check import check
from libs.graph.check_node import Judge
from libs.graph.cost import Work, work
from libs.graph.limits import exceeded, require_within, tier_refusal
from libs.graph.needs import WeightsNeed, estimate_vram_mib, needs
from libs.graph.parse import parse
from libs.graph.reach import Reach
from libs.graph.refusal import GraphRefused
from libs.graph.schema import Catalogue
from libs.graph.tiers import DEFAULT_FAMILIES, ModelFamilies, Tier
from libs.graph.value import Graph
from libs.nodes.engines import ANY_ENGINE, able
from services.validator.domain.bounds import (
    bounded_error,
    bounded_node_errors,
    require_short_ids,
)


@dataclass(frozen=True)
class Accepted:
    """The graph as it will be executed; `node_errors` tells of the outputs that will not."""

    graph: Graph
    outputs: tuple[str, ...]
    node_errors: JsonObject
    needs: tuple[WeightsNeed, ...]
    engines: tuple[str, ...]
    vram_mib: int
    work: Work


@dataclass(frozen=True)
class RefusedPrompt:
    """Nothing will be executed: 400 for a wrong graph, 403 for what the tier does not allow."""

    status: int
    error: JsonObject
    node_errors: JsonObject

    @property
    def code(self) -> str:
        """Return the one word for the reason: the type of the error."""
        return str(self.error["type"])


def verdict(  # noqa: PLR0913  These are all that a verdict depends on.
    prompt: Json,
    catalogue: Catalogue,
    tier: Tier,
    targets: Sequence[str] | None = None,
    *,
    known_files: Container[str],
    weight_sizes: Mapping[str, int],
    families: ModelFamilies = DEFAULT_FAMILIES,
    engine: str = ANY_ENGINE,
    judge: Judge | None = None,
) -> Accepted | RefusedPrompt:
    """Judge a submission; the same one gets the same verdict.

    `engine` is the engine that the caller wishes for. `known_files` holds the caller's uploads as
    `libs.graph.uploads.upload_key` spells them, `weight_sizes` the MiB of files by `folder/name`,
    `families` the files of each model family. `judge` asks node types whose code is at hand what
    they say of their inputs; a worker asks all others.
    """
    try:
        graph = parse(prompt)
        require_short_ids(graph)
        require_within(graph, catalogue)
        checked = check(graph, catalogue, targets, uploads=known_files, judge=judge)
        reach = Reach.of(checked.graph, catalogue, checked.outputs)
        require_paintable(reach)
        limits = exceeded(reach, tier, families)
        if limits:
            raise tier_refusal(limits)
    except GraphRefused as refusal:
        shown, faults, count = bounded_node_errors(refusal.node_errors)
        error = bounded_error(refusal.error, faults, count)
        return RefusedPrompt(refusal.status, error, shown)
    named = needs(reach)
    paths = [need.path for need in named]
    return Accepted(
        graph=checked.graph,
        outputs=checked.outputs,
        node_errors=bounded_node_errors(checked.node_errors)[0],
        needs=named,
        vram_mib=max(estimate_vram_mib(paths, weight_sizes), least_vram_mib(paths)),
        work=work(reach),
        engines=able((reach.graph.nodes[node_id] for node_id in reach.sources), engine),
    )
