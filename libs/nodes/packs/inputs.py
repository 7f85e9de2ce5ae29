"""INPUT_TYPES of a pack's class, read into the schema of the house."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from libs.core.jsonvalue import Json
from libs.graph.schema import COMBO, MISSING, InputSpec
from libs.nodes.packs.shims.folders import FileList

UPLOADS: Final = "input"
# Names of options there and here.
NUMBERS: Final = {"min": "min", "max": "max", "step": "step", "round": "round"}
FLAGS: Final = {
    "multiline": "multiline",
    "dynamicPrompts": "dynamic_prompts",
    "forceInput": "socket",
    "lazy": "lazy",
    "rawLink": "raw_link",
    "control_after_generate": "control_after_generate",
    "image_upload": "image_upload",
    "advanced": "advanced",
}
TEXTS: Final = {"display": "display", "label_on": "label_on", "label_off": "label_off"}
# What the editor alone reads. Left out is what would offer a thing that is not there: choices from
# a route of the pack, several choices at once, uploads of anything but pictures.
HINTS: Final[Mapping[str, type]] = {
    "placeholder": str,
    "display_name": str,
    "widgetType": str,
    "hidden": bool,
    "socketless": bool,
    "defaultInput": bool,
    "control_after_generate": str,
}


class NotUnderstood(Exception):
    """A class does not follow the protocol."""


def inputs_of(told: object) -> tuple[InputSpec, ...]:
    """Return the inputs that INPUT_TYPES named, required ones first."""
    if not isinstance(told, Mapping):
        raise NotUnderstood("INPUT_TYPES returned no dictionary")
    return tuple(
        _input(str(name), given, required=group == "required")
        for group in ("required", "optional")
        for name, given in _given(told, group)
    )


def hidden_of(told: Mapping[str, Any]) -> dict[str, str]:
    """Return the hidden inputs, and what each receives."""
    return {
        str(name): str(what[0] if isinstance(what, list | tuple) and what else what)
        for name, what in _given(told, "hidden")
    }


def _given(told: Mapping[str, Any], group: str) -> Iterator[tuple[str, Any]]:
    named = told.get(group) or {}
    # Some packs answer with an object that makes inputs up on the way: those are its **kwargs.
    yield from dict(named).items()


def _input(name: str, given: object, *, required: bool) -> InputSpec:
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, list | tuple) or not given:
        raise NotUnderstood(f"the input {name} is not told as (type, options)")
    kind = given[0]
    options = given[1] if len(given) > 1 and isinstance(given[1], Mapping) else {}
    known: dict[str, Any] = {**_known(options), "name": name, "required": required}
    if isinstance(kind, list | tuple):
        return _combo(known, kind, options)
    if str(kind) == COMBO:
        return _combo(known, options.get("options", ()), options)
    return InputSpec(**known, type=_type(kind))


def _combo(known: dict[str, Any], listed: Any, options: Mapping[str, Any]) -> InputSpec:
    if options.get("image_upload"):
        known.pop("default", None)
        return InputSpec(**known, type=COMBO, choices=UPLOADS)
    if isinstance(listed, FileList) and listed.folder is not None:
        known.pop("default", None)
        return InputSpec(**known, type=COMBO, choices=listed.folder)
    return InputSpec(**known, type=COMBO, options=cast("tuple[str, ...]", tuple(_plain(listed))))


def _plain(listed: Sequence[Any]) -> Iterator[Json]:
    for one in listed:
        yield one if isinstance(one, str | int | float | bool) else str(one)


def _type(kind: object) -> str:
    if not isinstance(kind, str):
        raise NotUnderstood(f"{kind!r} is no type")
    # Enumerations of type names are texts, and packs that want anything subclass `str`.
    return str.__str__(kind)


def _known(options: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {"default": _default(options)}
    for name, ours in NUMBERS.items():
        value = options.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            known[ours] = value
    for name, ours in FLAGS.items():
        known[ours] = bool(options.get(name))
    for name, ours in TEXTS.items():
        if isinstance(options.get(name), str):
            known[ours] = str(options[name])
    known["tooltip"] = str(options.get("tooltip") or "")
    known["hints"] = {
        name: options[name] for name, kind in HINTS.items() if isinstance(options.get(name), kind)
    }
    return known


def _default(options: Mapping[str, Any]) -> Any:
    value = options.get("default", MISSING)
    return value if value is MISSING else as_json(value)


def as_json(value: object) -> Json:
    """Return what JSON can say of a value; of anything else its text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): as_json(one) for name, one in value.items()}
    return str(value)
