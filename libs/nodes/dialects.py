"""The node types in the two languages that clients speak, printed from one description."""

from __future__ import annotations

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.schema import ANY, COMBO, MATCHING, MISSING, Catalogue, InputSpec, NodeSchema
from libs.graph.sockets import input_config

PYTHON_MODULE = "nodes"


def object_info(catalogue: Catalogue) -> JsonObject:
    """Return what ComfyUI's `GET /object_info` answers: every node type by name."""
    return {name: object_info_entry(schema, catalogue) for name, schema in catalogue.types.items()}


def object_info_entry(schema: NodeSchema, catalogue: Catalogue) -> JsonObject:
    """Return one node type as ComfyUI's editor reads it."""
    groups = _groups(schema, catalogue)
    entry: JsonObject = {
        "input": {name: dict(group) for name, group in groups.items()},
        "input_order": {name: list(group) for name, group in groups.items()},
        "is_input_list": schema.is_input_list,
        "output": [output.type for output in schema.outputs],
        "output_is_list": [output.is_list for output in schema.outputs],
        "output_name": [output.name for output in schema.outputs],
        "name": schema.type,
        "display_name": schema.display_name,
        "description": schema.description,
        "python_module": PYTHON_MODULE,
        "category": schema.category,
        "output_node": schema.output_node,
        "has_intermediate_output": False,
        "search_aliases": list(schema.search_aliases),
    }
    if any(output.tooltip for output in schema.outputs):
        entry["output_tooltips"] = [output.tooltip for output in schema.outputs]
    if any(output.template for output in schema.outputs):
        entry["output_matchtypes"] = [output.template for output in schema.outputs]
    if schema.deprecated:
        entry["deprecated"] = True
    if schema.experimental:
        entry["experimental"] = True
    return entry


def node_definition(schema: NodeSchema, catalogue: Catalogue) -> JsonObject:
    """Return one node type as HIP-35's NodeDefinition."""
    return {
        "type": schema.type,
        "display_name": schema.display_name,
        "category": schema.category,
        "inputs": {spec.name: _slot(spec, catalogue) for spec in schema.inputs},
        "outputs": {output.name: {"type": _known(output.type)} for output in schema.outputs},
        "function": schema.function,
    }


def node_definitions(catalogue: Catalogue) -> JsonObject:
    """Return every node type as a NodeDefinition, by name."""
    return {name: node_definition(schema, catalogue) for name, schema in catalogue.types.items()}


def _groups(schema: NodeSchema, catalogue: Catalogue) -> dict[str, JsonObject]:
    required: JsonObject = {}
    optional: JsonObject = {}
    for spec in schema.inputs:
        (required if spec.required else optional)[spec.name] = _spec(spec, catalogue)
    groups = {"required": required}
    if optional:
        groups["optional"] = optional
    if schema.hidden:
        groups["hidden"] = dict(schema.hidden)
    return groups


def _spec(spec: InputSpec, catalogue: Catalogue) -> Json:
    shown, options = input_config(spec, catalogue)
    # A socket without options is shown as its bare type; a list of options always has both.
    return [shown, options] if options or spec.type == COMBO else [shown]


def _known(socket_type: str) -> str:
    return ANY if socket_type == MATCHING else socket_type


def _slot(spec: InputSpec, catalogue: Catalogue) -> JsonObject:
    choice = spec.type == COMBO or spec.options is not None or spec.choices is not None
    slot: JsonObject = {"type": "STRING" if spec.type == COMBO else _known(spec.type)}
    slot["required"] = spec.required
    if spec.default is not MISSING:
        slot["default"] = spec.default
    if spec.tooltip:
        slot["tooltip"] = spec.tooltip
    for key, value in (("min", spec.min), ("max", spec.max), ("step", spec.step)):
        if value is not None:
            slot[key] = value
    if choice:
        slot["options"] = list(catalogue.options_of(spec))
    return slot
