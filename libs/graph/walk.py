"""Walks over the links of a graph, none of which recurses: a chain may be as long as it likes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from libs.graph.schema import Catalogue, InputSpec, NodeSchema
from libs.graph.value import BrokenLink, Graph, Link, Node

Edges = Mapping[str, Sequence[str]]


def links_of(node: Node, schema: NodeSchema) -> Iterator[tuple[InputSpec | None, str, Link]]:
    """Yield the wires a node is executed with, in the order its type declares its inputs.

    Wires to inputs that the type does not declare count only where it accepts any.
    """
    declared = schema.inputs_by_name
    for name, spec in declared.items():
        value = node.inputs.get(name)
        if isinstance(value, Link):
            yield spec, name, value
    if schema.accepts_any_input:
        for name, value in node.inputs.items():
            if name not in declared and isinstance(value, Link):
                yield None, name, value


def sources_of(node: Node, graph: Graph, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the ids of the nodes that a node needs directly, each once."""
    schema = catalogue.types.get(node.type)
    if schema is None:
        return ()
    found: dict[str, None] = {}
    for _, _, link in links_of(node, schema):
        if not isinstance(link, BrokenLink) and link.node_id in graph.nodes:
            found[link.node_id] = None
    return tuple(found)


def output_nodes(graph: Graph, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the ids of all nodes whose type makes something that leaves the graph."""
    return tuple(
        node.id
        for node in graph.nodes.values()
        if (schema := catalogue.types.get(node.type)) is not None and schema.output_node
    )


def needed(
    graph: Graph, catalogue: Catalogue, outputs: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the nodes that the outputs need, each after what it needs itself.

    Without `outputs` all output nodes count.
    """
    roots = output_nodes(graph, catalogue) if outputs is None else outputs
    return tuple(walk(graph, catalogue, roots))


def walk(graph: Graph, catalogue: Catalogue, outputs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what each needed node needs directly; the keys come each after what it needs.

    Outputs are finished one after the other, in their order, each depth first. On a cycle the
    walk still ends, with no promise of order.
    """
    sources: dict[str, tuple[str, ...]] = {}
    finished: dict[str, tuple[str, ...]] = {}
    for root in outputs:
        if root in sources:
            continue
        sources[root] = sources_of(graph.nodes[root], graph, catalogue)
        stack = [(root, iter(sources[root]))]
        while stack:
            node_id, pending = stack[-1]
            following = next((source for source in pending if source not in sources), None)
            if following is None:
                stack.pop()
                finished[node_id] = sources[node_id]
            else:
                sources[following] = sources_of(graph.nodes[following], graph, catalogue)
                stack.append((following, iter(sources[following])))
    return finished


def components(edges: Edges) -> list[tuple[str, ...]]:
    """Return the strongly connected components, each after those it leads to (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_nodes: list[str] = []
    is_open: set[str] = set()
    found: list[tuple[str, ...]] = []
    for root in edges:
        if root in index:
            continue
        path = [(root, iter(edges[root]))]
        _enter(root, index, low, open_nodes, is_open)
        while path:
            node_id, pending = path[-1]
            following = next(pending, None)
            if following is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node_id])
                if low[node_id] == index[node_id]:
                    found.append(_close(node_id, open_nodes, is_open))
            elif following not in index:
                _enter(following, index, low, open_nodes, is_open)
                path.append((following, iter(edges[following])))
            elif following in is_open:
                low[node_id] = min(low[node_id], index[following])
    return found


def _enter(
    node_id: str,
    index: dict[str, int],
    low: dict[str, int],
    open_nodes: list[str],
    is_open: set[str],
) -> None:
    index[node_id] = low[node_id] = len(index)
    open_nodes.append(node_id)
    is_open.add(node_id)


def _close(node_id: str, open_nodes: list[str], is_open: set[str]) -> tuple[str, ...]:
    start = open_nodes.index(node_id)
    component = tuple(open_nodes[start:])
    del open_nodes[start:]
    is_open.difference_update(component)
    return component


def cycle_through(component: Sequence[str], edges: Edges, rank: Mapping[str, int]) -> list[str]:
    """Return the shortest cycle through the first node of a component, or [] if it has none."""
    start = min(component, key=rank.__getitem__)
    inside = set(component)
    came_from: dict[str, str] = {}
    frontier = [start]
    while frontier:
        following: list[str] = []
        for node_id in frontier:
            for source in edges[node_id]:
                if source == start:
                    return _path_back(node_id, start, came_from)
                if source in inside and source not in came_from:
                    came_from[source] = node_id
                    following.append(source)
        frontier = following
    return []


def _path_back(node_id: str, start: str, came_from: Mapping[str, str]) -> list[str]:
    path = [node_id]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]


def reached_from(starts: Iterable[str], edges: Edges) -> set[str]:
    """Return everything that can be reached from the starts, themselves included."""
    seen = set(starts)
    waiting = list(seen)
    while waiting:
        for following in edges.get(waiting.pop(), ()):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return seen
