"""Classes of the newer protocol (`comfy_entrypoint`), seen as those of the older one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from libs.nodes.packs.inputs import NotUnderstood
from libs.nodes.packs.shims.groups import Group, Grown
from libs.nodes.packs.shims.schema import ComfyNode, Hidden, HiddenHolder, NodeOutput, Schema
from libs.nodes.packs.shims.wires import Input

RUN: Final = "execute"
# What every node that saves may write into its files.
OF_OUTPUTS: Final = (Hidden.prompt, Hidden.extra_pnginfo)
OPTIONAL: Final = ("validate_inputs", "fingerprint_inputs", "check_lazy_status")


def is_second(kind: Any) -> bool:
    """Say whether a class is of the newer protocol."""
    return isinstance(kind, type) and issubclass(kind, ComfyNode)


def classes_of(entry: Callable[[], Any]) -> list[type[ComfyNode]]:
    """Return the classes of a pack by its `comfy_entrypoint`."""
    return asyncio.run(_classes(entry))


async def _classes(entry: Callable[[], Any]) -> list[type[ComfyNode]]:
    extension = entry()
    if inspect.isawaitable(extension):
        extension = await extension
    found: Any = None
    for part in ("on_load", "get_node_list"):
        told = getattr(extension, part, None)
        if told is None:
            continue
        found = told()
        if inspect.isawaitable(found):
            found = await found
    if not isinstance(found, list | tuple):
        raise NotUnderstood("get_node_list returned no list")
    return list(found)


def schema_of(kind: type[ComfyNode]) -> Schema:
    """Return what a class says of itself."""
    schema = kind.define_schema()
    if not isinstance(schema, Schema) or not schema.node_id:
        raise NotUnderstood("define_schema returned no io.Schema with a node_id")
    return schema


def as_first(kind: type[ComfyNode], schema: Schema) -> type:
    """Return a class of the older protocol that stands for one of the newer."""
    second = _Second(kind, schema)
    parts: dict[str, Any] = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "INPUT_TYPES": second.input_types,
        "RETURN_TYPES": tuple(one.io_type for one in schema.outputs),
        "RETURN_NAMES": tuple(one.display_name or one.io_type for one in schema.outputs),
        "OUTPUT_TOOLTIPS": tuple(one.tooltip or "" for one in schema.outputs),
        "OUTPUT_IS_LIST": tuple(one.is_output_list for one in schema.outputs),
        "FUNCTION": RUN,
        "CATEGORY": schema.category,
        "DESCRIPTION": schema.description,
        "OUTPUT_NODE": schema.is_output_node,
        "INPUT_IS_LIST": schema.is_input_list,
        "DEPRECATED": schema.is_deprecated,
        "EXPERIMENTAL": schema.is_experimental,
        "SEARCH_ALIASES": schema.search_aliases,
        RUN: _method(second),
    }
    if hasattr(kind, "validate_inputs"):
        parts["VALIDATE_INPUTS"] = second.judge()
    if hasattr(kind, "fingerprint_inputs"):
        parts["IS_CHANGED"] = staticmethod(second.changed)
    if hasattr(kind, "check_lazy_status"):
        parts["check_lazy_status"] = lambda _self, **given: second.call("check_lazy_status", given)
    return type(kind.__name__, (), parts)


def _method(second: _Second) -> Callable[..., Any]:
    def run(_self: Any, **given: Any) -> Any:
        return second.returned(second.call(RUN, given))

    async def run_later(_self: Any, **given: Any) -> Any:
        return second.returned(await second.call(RUN, given))

    method: Callable[..., Any] = (
        run_later if inspect.iscoroutinefunction(second.kind.execute) else run
    )
    if not second.schema.accept_all_inputs:
        # Only what is declared is handed over, whatever else the prompt says.
        here = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        setattr(method, "__signature__", inspect.Signature([here]))  # noqa: B010
    return method


class _Second:
    """One class of the newer protocol."""

    def __init__(self, kind: type[ComfyNode], schema: Schema) -> None:
        self.kind = kind
        self.schema = schema
        self.groups = [one for one in schema.inputs if isinstance(one, Group)]
        asked = (*schema.hidden, *(OF_OUTPUTS if schema.is_output_node else ()))
        taken = {one.id for one in schema.inputs}
        # An input may have the name of a hidden one.
        self.hidden = {_unlike(one.name, taken): Hidden(one) for one in dict.fromkeys(asked)}

    def input_types(self) -> dict[str, dict[str, Any]]:
        """Return the inputs as the older protocol declares them."""
        told: dict[str, dict[str, Any]] = {"required": {}, "optional": {}}
        for one in self.schema.inputs:
            if not isinstance(one, Grown):
                told["optional" if one.optional else "required"][one.id] = one.told()
            if isinstance(one, Group):
                for name, part, required in one.parts():
                    told["required" if required else "optional"][name] = _part(one, part)
        return {**told, "hidden": {name: (one.value,) for name, one in self.hidden.items()}}

    def call(self, name: str, given: Mapping[str, Any]) -> Any:
        """Call a method of a class that is there for this call alone, with what is hidden in it."""
        values = dict(given)
        hidden = {
            one.name: values.pop(known) for known, one in self.hidden.items() if known in values
        }
        for group in self.groups:
            values[group.id] = group.gathered(values)
        kind: Any = type(self.kind.__name__, (self.kind,), {"hidden": HiddenHolder(hidden)})
        return getattr(kind, name)(**values)

    def returned(self, value: Any) -> Any:
        """Return what a class returned as the older protocol returns it."""
        return value.told(len(self.schema.outputs)) if isinstance(value, NodeOutput) else value

    def changed(self, **given: Any) -> Any:
        """Ask what changes when the node must be executed again."""
        return self.call("fingerprint_inputs", given)

    def judge(self) -> Any:
        """Return who judges the inputs: the class, told of groups as of one value."""
        asked: Any = getattr(self.kind, "validate_inputs")  # noqa: B009  Not every class has it.
        if not self.groups:
            return staticmethod(asked)
        names = inspect.signature(asked).parameters
        takes_all = any(one.kind is one.VAR_KEYWORD for one in names.values())

        def judge(**given: Any) -> Any:
            values = dict(given)
            for group in self.groups:
                values[group.id] = group.gathered(values)
            return asked(**{k: v for k, v in values.items() if takes_all or k in names})

        return staticmethod(judge)


def _part(group: Group, part: Input) -> tuple[Any, dict[str, Any]]:
    kind, options = part.told()
    # A list that grows has a wire for each of its inputs, never a hundred fields.
    return (kind, {**options, "forceInput": True} if isinstance(group, Grown) else options)


def _unlike(name: str, taken: set[str]) -> str:
    return name if name not in taken else f"hidden_{name}"
