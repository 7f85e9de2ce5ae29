"""A class of ComfyUI's protocol as a node type of this house."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

from libs.graph.growing import GrowingGraph
from libs.graph.schema import ANY, COMBO, NodeSchema, OutputSpec
from libs.nodes.context import Context
from libs.nodes.declare import Judged, NodeType
from libs.nodes.packs.border import Border, Exchange
from libs.nodes.packs.graphs import PackGraph
from libs.nodes.packs.inputs import UPLOADS, NotUnderstood, hidden_of, inputs_of
from libs.nodes.packs.present import Present, Room, calling, new_room, shared_room
from libs.nodes.packs.results import Returned
from libs.nodes.packs.shims.folders import bring

CATEGORY: Final = "node packs"
CLASS_TEXT_CHARACTERS_MAX: Final = 2_000


class Kept:
    """An object of a pack's class, with the folders that it writes into."""

    def __init__(self, kind: type) -> None:
        self.room: Room = new_room()
        weakref.finalize(self, shutil.rmtree, self.room.root, ignore_errors=True)
        with calling(self.room):
            self.node: Any = kind()


def node_type(name: str, kind: Any, title: str, exchange: Exchange) -> NodeType[..., Any]:
    """Return the node type of a class; raise NotUnderstood if it does not follow the protocol."""
    with calling(shared_room()):
        told = kind.INPUT_TYPES()
    function_name = getattr(kind, "FUNCTION", None)
    method = getattr(kind, function_name, None) if isinstance(function_name, str) else None
    if not callable(method):
        raise NotUnderstood("FUNCTION names no function of the class")
    inputs = inputs_of(told)
    hidden = hidden_of(told)
    judge = _judge(kind)
    judged = Judged.by(judge)
    schema = NodeSchema(
        type=name,
        display_name=title,
        category=str(getattr(kind, "CATEGORY", None) or CATEGORY),
        function=f"{kind.__module__}:{kind.__qualname__}.{function_name}",
        description=str(getattr(kind, "DESCRIPTION", None) or "")[:CLASS_TEXT_CHARACTERS_MAX],
        inputs=inputs,
        hidden=hidden,
        outputs=_outputs(kind),
        output_node=bool(getattr(kind, "OUTPUT_NODE", False)),
        is_input_list=bool(getattr(kind, "INPUT_IS_LIST", False)),
        accepts_any_input=_takes_anything(method),
        validates=judged.names,
        validates_all=judged.takes_all,
        validates_types=judged.takes_types,
        expands=_may_expand(kind),
        fills_defaults=False,
        search_aliases=tuple(str(one) for one in getattr(kind, "SEARCH_ALIASES", None) or ()),
        deprecated=bool(getattr(kind, "DEPRECATED", False)),
        experimental=bool(getattr(kind, "EXPERIMENTAL", False)),
    )
    calls = _Calls(schema, str(function_name), exchange)
    return NodeType(
        schema=schema,
        function=calls.later if inspect.iscoroutinefunction(method) else calls.now,
        wants_context=True,
        hidden_names=frozenset(hidden),
        wants=calls.wants if hasattr(kind, "check_lazy_status") else None,
        judge=judge,
        changes=_changes(kind),
        instance=lambda: Kept(kind),
    )


@dataclass(frozen=True)
class _Calls:
    """How a class is called."""

    schema: NodeSchema
    function_name: str
    exchange: Exchange

    def now(self, kept: Kept, context: Context, /, **given: Any) -> Any:
        """Call the function."""
        border = Border(self.exchange)
        with calling(kept.room, context) as present:
            value = getattr(kept.node, self.function_name)(**self._given(border, present, given))
            return Returned(self.schema, border, present).read(value)

    async def later(self, kept: Kept, context: Context, /, **given: Any) -> Any:
        """Call a function that waits."""
        border = Border(self.exchange)
        with calling(kept.room, context) as present:
            method = getattr(kept.node, self.function_name)
            value = await method(**self._given(border, present, given))
            return Returned(self.schema, border, present).read(value)

    def wants(self, kept: Kept, context: Context, /, **given: Any) -> Sequence[str]:
        """Ask which lazy inputs it needs."""
        border = Border(self.exchange)
        with calling(kept.room, context) as present:
            said = kept.node.check_lazy_status(**self._given(border, present, given))
            if inspect.isawaitable(said):
                said = asyncio.run(_awaited(said))
        return (said,) if isinstance(said, str) else tuple(said or ())

    def _given(self, border: Border, present: Present, given: Mapping[str, Any]) -> dict[str, Any]:
        for spec in self.schema.inputs:
            if spec.choices == UPLOADS and isinstance(given.get(spec.name), str):
                bring(present, str(given[spec.name]))
        seen = {
            name: PackGraph(value) if isinstance(value, GrowingGraph) else value
            for name, value in given.items()
        }
        return border.given(seen, lists=self.schema.is_input_list)


def _outputs(kind: Any) -> tuple[OutputSpec, ...]:
    types = getattr(kind, "RETURN_TYPES", ())
    if not isinstance(types, list | tuple):
        raise NotUnderstood("RETURN_TYPES is no tuple")
    told = getattr(kind, "RETURN_NAMES", None) or ()
    names = (told,) if isinstance(told, str) else told
    lists = getattr(kind, "OUTPUT_IS_LIST", None) or ()
    tips = getattr(kind, "OUTPUT_TOOLTIPS", None) or ()
    outputs: list[OutputSpec] = []
    for number, one in enumerate(types):
        socket = COMBO if isinstance(one, list | tuple) else str.__str__(one)
        name = str(names[number]) if number < len(names) and names[number] else socket
        outputs.append(
            OutputSpec(
                name=_unlike(name, [output.name for output in outputs]),
                type=socket if socket.strip() else ANY,
                is_list=bool(lists[number]) if number < len(lists) else False,
                tooltip=str(tips[number] or "") if number < len(tips) else "",
            )
        )
    return tuple(outputs)


def _unlike(name: str, taken: Sequence[str]) -> str:
    """Return the name, with a number behind it where another output has it."""
    if name not in taken:
        return name
    return next(f"{name}_{n}" for n in range(2, len(taken) + 3) if f"{name}_{n}" not in taken)


def _takes_anything(method: Callable[..., Any]) -> bool:
    parameters = inspect.signature(method).parameters.values()
    return any(one.kind is one.VAR_KEYWORD for one in parameters)


def _judge(kind: Any) -> Callable[..., bool | str] | None:
    judge = getattr(kind, "VALIDATE_INPUTS", None)
    return None if judge is None else _alone(judge)


def _changes(kind: Any) -> Callable[..., object] | None:
    changes = getattr(kind, "IS_CHANGED", None)
    return None if changes is None else _alone(changes)


def _alone(asked: Callable[..., Any]) -> Callable[..., Any]:
    """Return a question to a class with what a pack's code finds around it; it may be async."""

    @wraps(asked)
    def ask(**given: Any) -> Any:
        with calling(shared_room()):
            said = asked(**given)
            return asyncio.run(_awaited(said)) if inspect.isawaitable(said) else said

    return ask


async def _awaited(said: Any) -> Any:
    return await said


def _may_expand(kind: Any) -> bool:
    """Say whether a class may return nodes: nothing in the protocol tells, but its source does."""
    try:
        return "expand" in inspect.getsource(sys.modules[kind.__module__])
    except (OSError, TypeError, KeyError):
        return True
