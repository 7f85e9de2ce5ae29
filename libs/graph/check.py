"""Which outputs of a graph can be executed, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from libs.core.jsonvalue import JsonObject
from libs.graph.check_node import Finding, Judge, Setting, examine
from libs.graph.refusal import GraphRefused, node_problems, problem
from libs.graph.schema import Catalogue
from libs.graph.value import Graph, Node
from libs.graph.walk import components, cycle_through, output_nodes, reached_from

REPORTED_NODES_MAX = 100


@dataclass(frozen=True)
class Checked:
    """A graph that may be executed: literals coerced, slots by index, valid outputs named.

    `node_errors` tells why the other outputs are skipped; it is empty when all are valid.
    """

    graph: Graph
    outputs: tuple[str, ...]
    node_errors: JsonObject


def check(
    graph: Graph,
    catalogue: Catalogue,
    targets: Sequence[str] | None = None,
    *,
    uploads: Container[str] | None = None,
    judge: Judge | None = None,
) -> Checked:
    """Check what the outputs need; raise GraphRefused if no output is left.

    `targets` narrows the outputs. `uploads` holds the files that inputs of the kind "input" may
    name, as `upload_key` spells them; without it they are not looked at. `judge` asks node types
    that judge their inputs themselves.
    """
    _require_known_types(graph, catalogue)
    wanted = _wanted(graph, catalogue, targets)
    findings = _findings(wanted, Setting(graph, catalogue, uploads, judge))
    rank = {node_id: place for place, node_id in enumerate(graph.nodes)}
    edges = {node_id: tuple(dict.fromkeys(f.sources)) for node_id, f in findings.items()}
    order = components(edges)
    for component in order:
        _report_cycle(cycle_through(component, edges, rank), findings)
    bad = sorted((n for n, f in findings.items() if f.problems), key=rank.__getitem__)
    invalid = reached_from(bad, _turned(edges))
    valid = tuple(node_id for node_id in wanted if node_id not in invalid)
    node_errors = _node_errors(bad, findings, _dependents(wanted, order, edges)) if bad else {}
    if not valid:
        raise _all_failed(bad, findings, node_errors)
    return Checked(_coerced(graph, findings), valid, node_errors)


def _require_known_types(graph: Graph, catalogue: Catalogue) -> None:
    unknown = [node for node in graph.nodes.values() if node.type not in catalogue.types]
    if not unknown:
        return
    errors = {node.id: _unknown_type(node) for node in unknown[:REPORTED_NODES_MAX]}
    # The error names one node, as clients expect; node_errors marks all of them.
    raise GraphRefused(
        errors[unknown[0].id],
        {
            node.id: node_problems(node.type, [errors[node.id]])
            for node in unknown
            if node.id in errors
        },
    )


def _unknown_type(node: Node) -> JsonObject:
    return problem(
        "missing_node_type",
        f"Node '{node.type}' not found. The custom node may not be installed.",
        f"Node ID '#{node.id}'",
        node_id=node.id,
        class_type=node.type,
        node_title=node.title or node.type,
    )


def _wanted(graph: Graph, catalogue: Catalogue, targets: Sequence[str] | None) -> tuple[str, ...]:
    chosen = None if targets is None else set(targets)
    outputs = output_nodes(graph, catalogue)
    wanted = tuple(node_id for node_id in outputs if chosen is None or node_id in chosen)
    if not wanted:
        raise GraphRefused(problem("prompt_no_outputs", "Prompt has no outputs", ""))
    return wanted


def _findings(wanted: Sequence[str], setting: Setting) -> dict[str, Finding]:
    findings: dict[str, Finding] = {}
    waiting = list(wanted)
    while waiting:
        node_id = waiting.pop()
        if node_id not in findings:
            findings[node_id] = examine(setting.graph.nodes[node_id], setting)
            waiting.extend(findings[node_id].sources)
    return findings


def _report_cycle(cycle: Sequence[str], findings: Mapping[str, Finding]) -> None:
    closed = [*cycle, *cycle[:1]]
    path = " -> ".join(f"{node_id} ({findings[node_id].node.type})" for node_id in closed)
    for node_id in cycle:
        findings[node_id].problems.append(
            problem(
                "dependency_cycle",
                "Dependency cycle detected",
                path,
                node_id=node_id,
                cycle_nodes=list(cycle),
            )
        )


def _turned(edges: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    turned: dict[str, list[str]] = {}
    for node_id, sources in edges.items():
        for source in sources:
            turned.setdefault(source, []).append(node_id)
    return turned


def _dependents(
    wanted: Sequence[str], order: Sequence[Sequence[str]], edges: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Return, for each node, the outputs that need it.

    One pass over the components, users before what they use, with a bit per output: following
    each output by itself would cost outputs times links.
    """
    bits = dict.fromkeys(edges, 0)
    for place, node_id in enumerate(wanted):
        bits[node_id] |= 1 << place
    for component in reversed(order):
        shared = 0
        for node_id in component:
            shared |= bits[node_id]
        for node_id in component:
            bits[node_id] = shared
            for source in edges[node_id]:
                bits[source] |= shared
    return {
        node_id: tuple(wanted[place] for place in range(mask.bit_length()) if mask >> place & 1)
        for node_id, mask in bits.items()
    }


def _node_errors(
    bad: Sequence[str],
    findings: Mapping[str, Finding],
    dependents: Mapping[str, tuple[str, ...]],
) -> JsonObject:
    return {
        node_id: node_problems(
            findings[node_id].node.type, findings[node_id].problems, dependents[node_id]
        )
        for node_id in bad[:REPORTED_NODES_MAX]
    }


def _all_failed(
    bad: Sequence[str], findings: Mapping[str, Finding], node_errors: JsonObject
) -> GraphRefused:
    # The nodes of a cycle all say the same, which is said once.
    lines = dict.fromkeys(
        _line(found) for node_id in bad[:REPORTED_NODES_MAX] for found in findings[node_id].problems
    )
    error = problem(
        "prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(lines)
    )
    return GraphRefused(error, node_errors)


def _line(found: JsonObject) -> str:
    extra_info = found["extra_info"]
    hint = extra_info.get("hint") if isinstance(extra_info, dict) else None
    return f"{found['message']}: {found['details']}" + (f" ({hint})" if hint else "")


def _coerced(graph: Graph, findings: Mapping[str, Finding]) -> Graph:
    # Written out, since a workflow may have hundreds of nodes and `replace` is slow.
    nodes = {
        node_id: Node(node.id, node.type, findings[node_id].inputs, node.title)
        if node_id in findings
        else node
        for node_id, node in graph.nodes.items()
    }
    return replace(graph, nodes=nodes)
