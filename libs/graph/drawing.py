"""A graph as a document of ComfyUI's editor: placed, titled, grouped, with its widgets filled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.placing import ROW_GAP, Box, Size, around, placed
from libs.graph.schema import COMBO, MISSING, WIDGET_TYPES, InputSpec, NodeSchema
from libs.graph.sockets import slot_index
from libs.graph.value import Graph, Link, Node

Types = Mapping[str, NodeSchema]

# The editor's own measures, in its pixels: a row of sockets, a widget, a title.
SLOT: Final = 20
WIDGET: Final = 24
TEXT: Final = 130
PICTURE: Final = 280
TITLE: Final = 30
LETTER: Final = 8
MARGIN: Final = 20
GROUP_TITLE: Final = 34
WIDTH: Final = 270
TEXT_WIDTH: Final = 340
NOTE: Final = Size(WIDTH, 330)
# An old format, which every version of the editor reads.
VERSION: Final = 0.4
# Beside a seed the editor keeps how it changes after a run; no graph holds that.
AFTER_A_RUN: Final = "randomize"
SEEDS: Final = frozenset({"seed", "noise_seed"})
COLOURS: Final = {"positive": ("#232", "#353"), "negative": ("#322", "#533")}
ROLES: Final = {
    "CONDITIONING": "Conditioning",
    "LATENT": "Latent",
    "IMAGE": "Picture",
    "MESH": "Solid",
}
LOADING: Final = "Models"
SAMPLING: Final = "Sampling"
OTHER_ROLE: Final = "Steps"


@dataclass(frozen=True)
class Wire:
    """A link as the editor writes it: from a slot of a node to a slot of another."""

    id: int
    source: str
    slot: int
    target: str
    name: str
    type: str


def drawn(graph: Graph, types: Types, note: str = "") -> JsonObject:
    """Return the graph as a document that the editor opens; `note` stands beside it."""
    numbers = {node_id: number for number, node_id in enumerate(graph.nodes, 1)}
    wires = list(_wires(graph, types))
    sources = {
        node_id: list(dict.fromkeys(wire.source for wire in wires if wire.target == node_id))
        for node_id in graph.nodes
    }
    sizes = {node.id: _size(types[node.type]) for node in graph.nodes.values()}
    loaders = [node.id for node in graph.nodes.values() if _role(types[node.type]) == LOADING]
    columns = placed(sizes, sources, loaders)
    boxes = {node_id: box for column in columns for node_id, box in column.items()}
    sides = _sides(wires)
    nodes: list[Json] = [
        _node(node, types[node.type], numbers, wires, boxes[node.id])
        | _ornaments(types[node.type], sides.get(node.id, frozenset()))
        for node in graph.nodes.values()
    ]
    frames = list(_groups(columns, graph, types))
    if note:
        nodes.append(_note(note, len(nodes) + 1, columns[0]))
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(wires),
        "nodes": nodes,
        "links": [_link(wire, graph, types, numbers) for wire in wires],
        "groups": list[Json](frames),
        "config": {},
        "extra": {"ds": {"scale": 0.7, "offset": [120, 160]}},
        "version": VERSION,
    }


def widgets(node: Node, schema: NodeSchema) -> list[Json]:
    """Return what the editor's widgets hold, in the editor's order."""
    values: list[Json] = []
    for spec in shown_order(schema):
        if not is_widget(spec):
            continue
        given = node.inputs.get(spec.name, _usual(spec))
        values.append(_usual(spec) if isinstance(given, Link) else given)
        if spec.type == "INT" and (spec.control_after_generate or spec.name in SEEDS):
            values.append(AFTER_A_RUN)
        if spec.image_upload:
            values.append("image")
    return values


def shown_order(schema: NodeSchema) -> list[InputSpec]:
    """Return the inputs in the editor's order: what is required comes first."""
    return sorted(schema.inputs, key=lambda spec: not spec.required)


def is_widget(spec: InputSpec) -> bool:
    """Say whether the editor shows an input as a widget rather than as a socket."""
    return spec.type in WIDGET_TYPES and not spec.socket


def _usual(spec: InputSpec) -> Json:
    if spec.default is not MISSING:
        return spec.default
    if spec.type == COMBO:
        return spec.options[0] if spec.options else None
    return {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False}.get(spec.type, "")


def _slots(schema: NodeSchema) -> list[InputSpec]:
    """Return the inputs as the editor numbers them: sockets, then those with a widget."""
    return sorted(shown_order(schema), key=is_widget)


def _wires(graph: Graph, types: Types) -> Iterator[Wire]:
    number = 0
    for node in graph.nodes.values():
        for spec in _slots(types[node.type]):
            link = node.inputs.get(spec.name)
            if not isinstance(link, Link):
                continue
            before = graph.nodes.get(link.node_id)
            source = types[before.type] if before is not None else None
            slot = slot_index(source, link.slot) if source is not None else None
            if source is None or slot is None:
                continue  # It leads nowhere; what is kept need not be fit to be executed.
            number += 1
            kind = source.outputs[slot].type
            yield Wire(number, link.node_id, slot, node.id, spec.name, kind)


def _link(wire: Wire, graph: Graph, types: Types, numbers: Mapping[str, int]) -> Json:
    names = [spec.name for spec in _slots(types[graph.nodes[wire.target].type])]
    source, target = numbers[wire.source], numbers[wire.target]
    return [wire.id, source, wire.slot, target, names.index(wire.name), wire.type]


def _node(
    node: Node,
    schema: NodeSchema,
    numbers: Mapping[str, int],
    wires: Sequence[Wire],
    box: Box,
) -> JsonObject:
    feeding = {wire.name: wire.id for wire in wires if wire.target == node.id}
    inputs: list[Json] = []
    for spec in _slots(schema):
        slot: JsonObject = {"name": spec.name, "type": spec.type, "link": feeding.get(spec.name)}
        inputs.append(slot | {"widget": {"name": spec.name}} if is_widget(spec) else slot)
    outputs: list[Json] = [
        {
            "name": output.name,
            "type": output.type,
            "links": [w.id for w in wires if (w.source, w.slot) == (node.id, index)],
        }
        for index, output in enumerate(schema.outputs)
    ]
    return {
        "id": numbers[node.id],
        "type": node.type,
        "pos": [box.x, box.y],
        "size": [box.width, box.height],
        "flags": {},
        "order": numbers[node.id] - 1,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {"Node name for S&R": node.type},
        "widgets_values": widgets(node, schema),
    }


def _ornaments(schema: NodeSchema, sides: frozenset[str]) -> JsonObject:
    """Return title and colours of a text that stands on one side of a sampler."""
    if len(sides) != 1 or _role(schema) != ROLES["CONDITIONING"]:
        return {}
    (side,) = sides
    colour, background = COLOURS[side]
    title = f"{schema.display_name.partition(' (')[0]} ({side})"
    return {"title": title, "color": colour, "bgcolor": background}


def _sides(wires: Sequence[Wire]) -> dict[str, frozenset[str]]:
    """Return for each node whether its conditioning ends as a positive or negative one."""
    found: dict[str, frozenset[str]] = {}
    for _ in range(len(wires) + 1):
        before = dict(found)
        for wire in wires:
            if wire.type != "CONDITIONING":
                continue
            ends = {wire.name} if wire.name in COLOURS else found.get(wire.target, frozenset())
            found[wire.source] = found.get(wire.source, frozenset()) | ends
        if found == before:
            break
    return found


def _note(text: str, number: int, column: Mapping[str, Box]) -> JsonObject:
    """Return a note that stands below a column."""
    below = max(box.y + box.height for box in column.values())
    return {
        "id": number,
        "type": "MarkdownNote",
        "pos": [0, below + MARGIN + ROW_GAP],
        "size": [NOTE.width, NOTE.height],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [text],
        "color": "#432",
        "bgcolor": "#653",
    }


def _groups(
    columns: Sequence[Mapping[str, Box]], graph: Graph, types: Types
) -> Iterator[JsonObject]:
    """Yield a frame around neighbouring columns of the same purpose."""

    def purpose(column: Mapping[str, Box]) -> str:
        roles = dict.fromkeys(_role(types[graph.nodes[node_id].type]) for node_id in column)
        return " and ".join(sorted(roles))

    for number, (title, neighbours) in enumerate(groupby(columns, purpose), 1):
        inside = [box for column in neighbours for box in column.values()]
        frame = around(inside, MARGIN, TITLE + GROUP_TITLE)
        yield {
            "id": number,
            "title": title,
            "bounding": [frame.x, frame.y, frame.width, frame.height],
            "color": "#3f789e",
            "font_size": 24,
            "flags": {},
        }


def _role(schema: NodeSchema) -> str:
    """Return what a node is for, as far as its place and its wires tell."""
    category = schema.category.split("/")
    if "loaders" in category:
        return LOADING
    if "sampling" in category:
        return SAMPLING
    given = [output.type for output in schema.outputs]
    taken = [spec.type for spec in shown_order(schema) if not is_widget(spec)]
    return next((ROLES[kind] for kind in (*given, *taken) if kind in ROLES), OTHER_ROLE)


def _size(schema: NodeSchema) -> Size:
    specs = [spec for spec in shown_order(schema) if is_widget(spec)]
    texts = [spec for spec in specs if spec.multiline]
    sockets = len(schema.inputs) - len(specs)
    rows = max(sockets, len(schema.outputs)) * SLOT
    lines = sum(1 + (spec.name in SEEDS) + spec.image_upload for spec in specs) - len(texts)
    seen = schema.output_node or any(spec.image_upload for spec in specs)
    height = rows + lines * WIDGET + len(texts) * TEXT + PICTURE * seen + MARGIN
    width = len(schema.display_name) * LETTER + 2 * MARGIN
    return Size(max(width, TEXT_WIDTH if texts else WIDTH), height)
