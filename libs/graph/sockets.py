"""Which output feeds which input: slots by index or name, and when two types fit."""

from __future__ import annotations

from functools import lru_cache

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.schema import (
    ANY,
    COMBO,
    MATCHING,
    MISSING,
    WIDGET_TYPES,
    Catalogue,
    InputSpec,
    NodeSchema,
)

LISTED_OPTIONS_MAX = 20
ANYTHING = frozenset({ANY, MATCHING})
SOCKET_TYPES_KEPT = 1024


def slot_index(schema: NodeSchema, slot: int | str) -> int | None:
    """Return the index of an output given by index or, whatever the case, by name."""
    if isinstance(slot, int):
        return slot if 0 <= slot < len(schema.outputs) else None
    names = [output.name for output in schema.outputs]
    if slot in names:
        return names.index(slot)
    folded = [name.casefold() for name in names]
    wanted = slot.casefold()
    return folded.index(wanted) if wanted in folded else None


def slot_name(schema: NodeSchema, slot: int | str) -> str | None:
    """Return the name of an output given by index or by name."""
    index = slot_index(schema, slot)
    return None if index is None else schema.outputs[index].name


@lru_cache(SOCKET_TYPES_KEPT)
def types_of(socket_type: str) -> frozenset[str]:
    """Return the types that a socket type names: `"IMAGE,MASK"` names two."""
    return frozenset(part.strip() for part in socket_type.split(","))


def fits(received: str, expected: str) -> bool:
    """Say whether an output of type `received` may feed an input of type `expected`."""
    if received == expected:
        return True
    received_types, expected_types = types_of(received), types_of(expected)
    if not ANYTHING.isdisjoint(received_types | expected_types):
        return True
    return not received_types.isdisjoint(expected_types)


def takes_literal(spec: InputSpec) -> bool:
    """Say whether a value may be written into the input, rather than wired to it."""
    types = types_of(spec.type)
    return ANY in types or not types.isdisjoint(WIDGET_TYPES)


def input_config(spec: InputSpec, catalogue: Catalogue) -> list[Json]:
    """Return `[type, options]` as clients know it; a COMBO's type is the list of its options."""
    shown: Json = spec.type
    if spec.type == COMBO:
        shown = list(catalogue.options_of(spec))
    options = _options(spec)
    return [shown, options]


def bounded_config(spec: InputSpec, catalogue: Catalogue) -> Json:
    """Return the config for an error body, or None where the list would be a gigantic one."""
    if spec.type == COMBO and len(catalogue.options_of(spec)) > LISTED_OPTIONS_MAX:
        return None
    return input_config(spec, catalogue)


def _options(spec: InputSpec) -> JsonObject:
    given: dict[str, Json] = {
        "min": spec.min,
        "max": spec.max,
        "step": spec.step,
        "round": spec.round,
        "display": spec.display,
        "label_on": spec.label_on,
        "label_off": spec.label_off,
    }
    options: JsonObject = {} if spec.default is MISSING else {"default": spec.default}
    options.update({key: value for key, value in given.items() if value is not None})
    flags = {
        "multiline": spec.multiline,
        "dynamicPrompts": spec.dynamic_prompts,
        "forceInput": spec.socket and spec.type in WIDGET_TYPES,
        "lazy": spec.lazy,
        "rawLink": spec.raw_link,
        "control_after_generate": spec.control_after_generate,
        "image_upload": spec.image_upload,
        "advanced": spec.advanced,
    }
    options.update({key: True for key, value in flags.items() if value})
    if spec.tooltip:
        options["tooltip"] = spec.tooltip
    if spec.template is not None:
        options["template"] = {"template_id": spec.template, "allowed_types": ANY}
    options.update(spec.hints)
    return options
