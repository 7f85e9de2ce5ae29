"""One node against its type: each input given, wired or written as the type declares."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.coerce import coerced
from libs.graph.effective import effective_inputs
from libs.graph.refusal import clip, problem, shown
from libs.graph.schema import COMBO, Catalogue, InputSpec, NodeSchema
from libs.graph.sockets import (
    LISTED_OPTIONS_MAX,
    bounded_config,
    fits,
    input_config,
    slot_index,
    takes_literal,
)
from libs.graph.uploads import upload_key
from libs.graph.value import BrokenLink, Graph, Link, Node

UPLOADS = "input"
BAD_LINK = "Bad linked input, must be a length-2 list of [node_id, slot_index]"


Inputs: TypeAlias = Mapping[str, Json | Link]
# Asks a node type what is wrong with its inputs, given those and the types wired to them.
Judge: TypeAlias = Callable[[str, Inputs, Mapping[str, str]], Sequence[JsonObject]]


@dataclass(frozen=True)
class Setting:
    """What a node is checked against: the graph around it, the node types, the known uploads.

    Without a `judge` nobody asks the node types that judge inputs themselves.
    """

    graph: Graph
    catalogue: Catalogue
    uploads: Container[str] | None = None
    judge: Judge | None = None


@dataclass
class Finding:
    """What is known of one node: its inputs as they will be executed, and what is wrong."""

    node: Node
    schema: NodeSchema
    inputs: dict[str, Json | Link] = field(default_factory=dict)
    problems: list[JsonObject] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    received: dict[str, str] = field(default_factory=dict)


def examine(node: Node, setting: Setting) -> Finding:
    """Check every input of a node; its sources are those wires that fit."""
    schema = setting.catalogue.types[node.type]
    finding = Finding(node, schema, dict(node.inputs))
    declared = set()
    for spec in schema.inputs:
        declared.add(spec.name)
        if spec.name in node.inputs:
            _examine_given(spec, node.inputs[spec.name], finding, setting)
        elif spec.required:
            finding.problems.append(_missing(spec))
        elif missing_file := _missing_file(spec, setting.catalogue):
            finding.problems.append(missing_file)
    if schema.accepts_any_input:
        for name, value in node.inputs.items():
            if name not in declared and isinstance(value, Link):
                _examine_wire(InputSpec(name=name, type="*"), value, finding, setting)
    if setting.judge is not None and schema.judges and not finding.problems:
        given = effective_inputs(Node(node.id, node.type, finding.inputs), schema)
        finding.problems.extend(setting.judge(node.type, given, finding.received))
    return finding


def _examine_given(spec: InputSpec, value: Json | Link, finding: Finding, setting: Setting) -> None:
    if isinstance(value, Link):
        _examine_wire(spec, value, finding, setting)
    else:
        _examine_literal(spec, value, finding, setting)


def _examine_wire(spec: InputSpec, link: Link, finding: Finding, setting: Setting) -> None:
    catalogue = setting.catalogue
    if isinstance(link, BrokenLink):
        finding.problems.append(_bad_link(spec, link.received, catalogue))
        return
    source = setting.graph.nodes.get(link.node_id)
    if source is None:
        finding.problems.append(_no_such_node(spec, finding.schema, link, catalogue))
        return
    schema = catalogue.types[source.type]
    index = slot_index(schema, link.slot)
    if index is None:
        finding.problems.append(_no_such_output(spec, link, source, schema, finding.schema))
        return
    received = schema.outputs[index].type
    finding.received[spec.name] = received
    if not finding.schema.validates_types and not fits(received, spec.type):
        finding.problems.append(_mismatch(spec, received, link, catalogue))
        return
    if link.slot != index:
        finding.inputs[spec.name] = Link(link.node_id, index)
    finding.sources.append(link.node_id)


def _examine_literal(spec: InputSpec, value: Json, finding: Finding, setting: Setting) -> None:
    catalogue = setting.catalogue
    if not takes_literal(spec) and not (value is None and not spec.required):
        finding.problems.append(_bad_link(spec, value, catalogue))
        return
    try:
        converted = coerced(value, spec.type)
    except ValueError as error:
        finding.problems.append(_not_converted(spec, value, str(error), catalogue))
        return
    finding.inputs[spec.name] = converted
    if spec.choices == UPLOADS:
        found = _unknown_upload(spec, converted, setting.uploads)
    elif finding.schema.judges_input(spec.name):
        found = None  # The node type judges this input itself, when it is executed.
    else:
        found = _out_of_range(spec, converted, catalogue)
        found = found or _not_in_list(spec, converted, catalogue)
    if found:
        finding.problems.append(found)


def _missing(spec: InputSpec) -> JsonObject:
    return problem(
        "required_input_missing", "Required input is missing", spec.name, input_name=spec.name
    )


def _missing_file(spec: InputSpec, catalogue: Catalogue) -> JsonObject | None:
    """Return what is wrong with an input that was left out and whose usual file is not there."""
    if spec.choices is None or not isinstance(spec.default, str):
        return None
    found = _not_in_list(spec, spec.default, catalogue)
    if found is None:
        return None
    # How such an input explains itself says where the file comes from.
    return {**found, "details": f"{found['details']}. {spec.tooltip}"}


def _bad_link(spec: InputSpec, received: Json, catalogue: Catalogue) -> JsonObject:
    return problem(
        "bad_linked_input",
        BAD_LINK,
        spec.name,
        input_name=spec.name,
        input_config=bounded_config(spec, catalogue),
        received_value=shown(received),
    )


def _broken(
    spec: InputSpec, consumer: NodeSchema, error: tuple[str, str], hint: str, **more: Json
) -> JsonObject:
    exception_type, text = error
    kind = "exception_during_inner_validation"
    message = "Exception when validating inner node"
    if consumer.output_node:
        kind, message = "exception_during_validation", "Exception when validating node"
    return problem(
        kind,
        message,
        text,
        input_name=spec.name,
        exception_message=text,
        exception_type=exception_type,
        traceback=[],
        hint=hint,
        **more,
    )


def _no_such_node(
    spec: InputSpec, consumer: NodeSchema, link: Link, catalogue: Catalogue
) -> JsonObject:
    node_id = link.node_id
    wire: Json = [node_id, link.slot]
    hint = f"input '{spec.name}' is linked to node '{node_id}', which is not in the prompt"
    # Clients of ComfyUI see the text of a KeyError here, which is the repr of the key.
    error = "KeyError", repr(node_id)
    config = bounded_config(spec, catalogue)
    return _broken(spec, consumer, error, hint, input_config=config, linked_node=wire)


def _no_such_output(
    spec: InputSpec, link: Link, source: Node, schema: NodeSchema, consumer: NodeSchema
) -> JsonObject:
    wire: Json = [link.node_id, link.slot]
    names = [output.name for output in schema.outputs]
    has = f"it has {', '.join(names)}" if names else "it has none"
    if isinstance(link.slot, int):
        hint = f"node '{source.id}' ({source.type}) has no output {link.slot}; {has}"
        error = "IndexError", "tuple index out of range"
        return _broken(spec, consumer, error, hint, linked_node=wire, outputs=list(names))
    return problem(
        "bad_linked_input",
        f"Node '{source.id}' ({source.type}) has no output named '{clip(link.slot)}'; {has}",
        spec.name,
        input_name=spec.name,
        linked_node=wire,
        outputs=list(names),
    )


def _mismatch(spec: InputSpec, received: str, link: Link, catalogue: Catalogue) -> JsonObject:
    return problem(
        "return_type_mismatch",
        "Return type mismatch between linked nodes",
        f"{spec.name}, received_type({received}) mismatch input_type({spec.type})",
        input_name=spec.name,
        input_config=bounded_config(spec, catalogue),
        received_type=received,
        linked_node=[link.node_id, link.slot],
    )


def _not_converted(spec: InputSpec, value: Json, error: str, catalogue: Catalogue) -> JsonObject:
    return problem(
        "invalid_input_type",
        f"Failed to convert an input value to a {spec.type} value",
        f"{spec.name}, {clip(str(value))}, {clip(error)}",
        input_name=spec.name,
        input_config=bounded_config(spec, catalogue),
        received_value=shown(value),
        exception_message=clip(error),
    )


def _out_of_range(spec: InputSpec, value: Json, catalogue: Catalogue) -> JsonObject | None:
    if not isinstance(value, int | float):
        return None
    if spec.min is not None and value < spec.min:
        kind, message = "value_smaller_than_min", f"Value {value} smaller than min of {spec.min}"
    elif spec.max is not None and value > spec.max:
        kind, message = "value_bigger_than_max", f"Value {value} bigger than max of {spec.max}"
    else:
        return None
    return problem(
        kind,
        message,
        spec.name,
        input_name=spec.name,
        input_config=bounded_config(spec, catalogue),
        received_value=value,
    )


def _not_in_list(spec: InputSpec, value: Json, catalogue: Catalogue) -> JsonObject | None:
    if spec.type != COMBO and spec.options is None:
        return None
    options = catalogue.options_of(spec)
    if value in options:
        return None
    many = len(options) > LISTED_OPTIONS_MAX
    listed = f"(list of length {len(options)})" if many else str(list(options))
    return problem(
        "value_not_in_list",
        "Value not in list",
        f"{spec.name}: '{clip(str(value))}' not in {listed}",
        input_name=spec.name,
        input_config=None if many else input_config(spec, catalogue),
        received_value=shown(value),
    )


def _unknown_upload(
    spec: InputSpec, value: Json, uploads: Container[str] | None
) -> JsonObject | None:
    # Uploads belong to a tenant, so only the caller knows which exist; None means: do not ask.
    if uploads is None or (isinstance(value, str) and upload_key(value) in uploads):
        return None
    what = "image" if spec.image_upload else "input"
    return problem(
        "custom_validation_failed",
        "Custom validation failed for node",
        f"{spec.name} - Invalid {what} file: {clip(str(value))}",
        input_name=spec.name,
        received_value=shown(value),
    )
