"""The bounds of every workflow, and those that a tier adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.cost import counts_steps
from libs.graph.effective import effective_input, number
from libs.graph.extent import Extent, makes_pixels
from libs.graph.reach import Reach
from libs.graph.refusal import GraphRefused, node_problems, problem
from libs.graph.schema import Catalogue, NodeSchema
from libs.graph.tiers import DEFAULT_FAMILIES, ModelFamilies, Tier
from libs.graph.value import Graph, Node

NODES_MAX: Final = 500
STRING_CHARACTERS_MAX: Final = 10_000
WORKFLOW_BYTES_MAX: Final = 1_048_576

# Only the model that paints is bound to a tier; adapters, decoders and upscalers are not.
BASE_MODEL_FOLDERS: Final = frozenset({"checkpoints", "diffusion_models", "unet", "diffusers"})
BASE_MODEL_INPUTS: Final = frozenset({"model_id"})


@dataclass(frozen=True)
class LimitExceeded:
    """One limit of a tier that one input goes beyond."""

    field: str
    limit: Json
    received: Json
    node_id: str
    class_type: str
    tier: str

    def problem(self) -> JsonObject:
        """Return it as the error object of a node."""
        bound = f"beyond the {self.tier} tier's limit of {self.limit}"
        if isinstance(self.limit, list):
            allowed = ", ".join(map(str, self.limit))
            bound = f"not among the {self.tier} tier's models: {allowed}"
        return problem(
            "tier_limit_exceeded",
            f"{self.field} {self.received} is {bound}",
            self.field,
            input_name=self.field,
            field=self.field,
            limit=self.limit,
            received_value=self.received,
            node_id=self.node_id,
            tier=self.tier,
        )


def require_size(size_bytes: int) -> None:
    """Raise GraphRefused, with status 413, for a workflow larger than any may be."""
    if size_bytes <= WORKFLOW_BYTES_MAX:
        return
    error = problem(
        "workflow_too_large",
        f"The workflow has {size_bytes} bytes; at most {WORKFLOW_BYTES_MAX} are allowed",
        "",
        field="prompt",
        limit=WORKFLOW_BYTES_MAX,
        received_value=size_bytes,
    )
    raise GraphRefused(error, status=413)


def require_within(graph: Graph, catalogue: Catalogue) -> None:
    """Raise GraphRefused for too many nodes or too long a text."""
    if len(graph.nodes) > NODES_MAX:
        raise GraphRefused(
            problem(
                "too_many_nodes",
                f"The workflow has {len(graph.nodes)} nodes; at most {NODES_MAX} are allowed",
                "",
                field="nodes",
                limit=NODES_MAX,
                received_value=len(graph.nodes),
            )
        )
    long = {node.id: found for node in graph.nodes.values() if (found := _long(node, catalogue))}
    if long:
        raise GraphRefused(
            next(iter(long.values()))[0],
            {node_id: node_problems(graph.nodes[node_id].type, e) for node_id, e in long.items()},
        )


def exceeded(
    reach: Reach, tier: Tier, families: ModelFamilies = DEFAULT_FAMILIES
) -> list[LimitExceeded]:
    """Return every limit of the tier that the needed nodes go beyond.

    Sizes are followed through the graph, so a picture that grows too large on the way counts
    like one that starts too large; a size that only the execution can tell does not count.
    """
    sized = reach.extents
    found: list[LimitExceeded] = []
    for node_id, sources in reach.sources.items():
        node = reach.graph.nodes[node_id]
        schema = reach.catalogue.types.get(node.type)
        if schema is None:
            continue
        before = [sized[source] for source in sources if source in sized]
        written = list(_numbers(reach.graph, node, schema, tier))
        found.extend(written)
        if node_id in sized and makes_pixels(schema):
            said = {limit.field for limit in written}
            grown = _grown(node, sized[node_id], before, tier)
            found.extend(limit for limit in grown if limit.field not in said)
        found.extend(_models(node, schema, tier, families))
    return found


def tier_refusal(limits: Sequence[LimitExceeded]) -> GraphRefused:
    """Return the refusal, with status 403, that names each limit at its node."""
    node_errors: JsonObject = {}
    for limit in limits:
        mine = [other.problem() for other in limits if other.node_id == limit.node_id]
        node_errors.setdefault(limit.node_id, node_problems(limit.class_type, mine))
    first = limits[0].problem()
    error = problem(
        "tier_limit_exceeded",
        str(first["message"]),
        "\n".join(str(limit.problem()["message"]) for limit in limits),
        field=limits[0].field,
        limit=limits[0].limit,
        received_value=limits[0].received,
        node_id=limits[0].node_id,
        tier=limits[0].tier,
    )
    return GraphRefused(error, node_errors, status=403)


def _long(node: Node, catalogue: Catalogue) -> list[JsonObject]:
    schema = catalogue.types.get(node.type)
    if schema is None:
        return []
    texts = {spec.name for spec in schema.inputs if spec.type == "STRING"}
    return [
        problem(
            "value_too_long",
            f"A text of {len(value)} characters is longer than {STRING_CHARACTERS_MAX}",
            f"Node ID '#{node.id}', input '{name}'",
            input_name=name,
            node_id=node.id,
            limit=STRING_CHARACTERS_MAX,
            received_value=len(value),
        )
        for name, value in node.inputs.items()
        if isinstance(value, str)
        and len(value) > STRING_CHARACTERS_MAX
        and (name in texts or (schema.accepts_any_input and schema.input(name) is None))
    ]


def _numbers(graph: Graph, node: Node, schema: NodeSchema, tier: Tier) -> Iterator[LimitExceeded]:
    bounds: list[tuple[str, int]] = []
    if makes_pixels(schema):
        side = tier.resolution_side_pixels_max
        bounds += [("width", side), ("height", side), ("batch_size", tier.batch_max)]
    if counts_steps(schema):
        bounds.append(("steps", tier.steps_max))
    for name, limit in bounds:
        value = number(graph, node, schema, name)
        if value is not None and value > limit:
            yield _limit(name, limit, value, node, tier)


def _grown(
    node: Node, extent: Extent, before: Sequence[Extent], tier: Tier
) -> Iterator[LimitExceeded]:
    side = tier.resolution_side_pixels_max
    sizes = [
        ("width", side, extent.width, max((e.width for e in before), default=0), extent.exact),
        ("height", side, extent.height, max((e.height for e in before), default=0), extent.exact),
        (
            "batch_size",
            tier.batch_max,
            extent.batch,
            max((e.batch for e in before), default=0),
            True,
        ),
    ]
    for name, limit, now, earlier, exact in sizes:
        # Only the node where a bound is crossed is named, not everything behind it.
        if exact and now > limit >= earlier:
            yield _limit(name, limit, now, node, tier)


def _models(
    node: Node, schema: NodeSchema, tier: Tier, families: ModelFamilies
) -> Iterator[LimitExceeded]:
    if tier.models is None:
        return
    patterns = [pattern for family in tier.models for pattern in families.get(family, ())]
    for spec in schema.inputs:
        if spec.choices not in BASE_MODEL_FOLDERS and spec.name not in BASE_MODEL_INPUTS:
            continue
        value = effective_input(node, schema, spec.name)
        if isinstance(value, str) and not _matches(value, patterns):
            yield _limit(spec.name, list(tier.models), value, node, tier)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    bare = name.lower().replace("\\", "/").rpartition("/")[2]
    return any(fnmatchcase(bare, pattern) for pattern in patterns)


def _limit(field: str, limit: Json, received: Json, node: Node, tier: Tier) -> LimitExceeded:
    return LimitExceeded(field, limit, received, node.id, node.type, tier.name)
