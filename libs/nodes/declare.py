"""How a node type is declared: one typed function, and the decorator that reads it.

The annotation of a parameter is its socket or widget type. `Literal` gives a list to choose
from, `Annotated[str, Choices("loras")]` a list known only where the files are, `| None` an
optional input, and a default is a default (a required input may have one). A plain string
inside `Annotated` is the tooltip; a `Widget` holds the editor's hints. The return annotation
gives the outputs: a NamedTuple several, in order, by field name; anything else a single one,
named after its type. `list[X]` as an output puts several values on one wire, and a node that
`takes_lists` is called once with a list for each input.

A parameter that `hidden` names is filled in by the executor. A function may be `async`: while it
waits, other nodes are executed. What feeds a `Widget(lazy=True)` is executed only when the
function under `wants` names that input; until then it is None. `judge` says in words what is wrong
with the inputs it takes, or returns True. While what `changes` returns stays the same, so does
the result. A node may return `Blocked` for a value, or `Expanded` for all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from libs.core.jsonvalue import JsonObject
from libs.graph.schema import ANY, COMBO, MATCHING, MISSING, InputSpec, NodeSchema, OutputSpec
from libs.nodes.expansion import Blocked, Expanded
from libs.nodes.sockets import SOCKET_NAMES

P = ParamSpec("P")
R = TypeVar("R")
V_co = TypeVar("V_co", covariant=True)

WIDGET_NAMES: Mapping[object, str] = {
    int: "INT",
    float: "FLOAT",
    str: "STRING",
    bool: "BOOLEAN",
    object: ANY,
}


# The parameter of a judge that gets the types wired to the inputs, by name.
WIRED_TYPES: Final = "input_types"


@dataclass(frozen=True, kw_only=True)
class Widget:
    """Hints for the editor's field, and the bounds that the validator enforces."""

    min: float | int | None = None
    max: float | int | None = None
    step: float | int | None = None
    round: float | None = None
    multiline: bool = False
    dynamic_prompts: bool = False
    display: str | None = None
    socket: bool = False
    lazy: bool = False
    control_after_generate: bool = False
    label_on: str | None = None
    label_off: str | None = None
    advanced: bool = False


@dataclass(frozen=True)
class Choices:
    """A list known only where the files are: a folder of weights, or `input` for uploads."""

    source: str
    upload: bool = False


@dataclass(frozen=True)
class Same:
    """Says of an `object` that it is whatever all others of that name are at the same node."""

    template: str


@dataclass(frozen=True)
class Shown(Generic[V_co]):
    """What a node returns beside its value: what the clients get to see, None if that is nothing.

    A function as `ui` is called away from the sampling path, while the next nodes are executed:
    files are encoded and saved in there, and pictures decoded.
    """

    value: V_co
    ui: JsonObject | Callable[[], JsonObject | None] | None

    def told(self) -> JsonObject:
        """Return what the clients get to see, made now if it was not made yet."""
        return (self.ui() if callable(self.ui) else self.ui) or {}


@dataclass(frozen=True)
class NodeType(Generic[P, R]):
    """A node type: its schema and the function behind it, which stays callable.

    `function` and `wants` are called with what `instance` made, kept for the node from one prompt
    to the next, if there is one; then with the context if `wants_context`; then with the inputs
    by name, and those `hidden_names` among the schema's hidden inputs. `judge` and `changes` get
    the literals alone, None for what is wired, and for their hidden names what is known by then.
    """

    schema: NodeSchema
    function: Callable[P, R]
    wants_context: bool = field(default=False)
    hidden_names: frozenset[str] = frozenset()
    wants: Callable[..., Iterable[str] | None] | None = None
    judge: Callable[..., bool | str] | None = None
    changes: Callable[..., object] | None = None
    instance: Callable[[], Any] | None = None

    @property
    def is_async(self) -> bool:
        """Say whether other nodes are executed while the function waits."""
        return inspect.iscoroutinefunction(self.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


def node(
    type_name: str,
    *,
    title: str,
    category: str,
    output_node: bool = False,
    takes_lists: bool = False,
    hidden: Mapping[str, str] | None = None,
    search_aliases: tuple[str, ...] = (),
    wants: Callable[..., Iterable[str] | None] | None = None,
    judge: Callable[..., bool | str] | None = None,
    changes: Callable[..., object] | None = None,
    expands: bool = False,
    experimental: bool = False,
) -> Callable[[Callable[P, R]], NodeType[P, R]]:
    """Declare the decorated function as the node type `type_name`."""

    def declare(function: Callable[P, R]) -> NodeType[P, R]:
        hints = get_type_hints(function, include_extras=True)
        parameters = list(inspect.signature(function).parameters.values())
        wants_context = bool(parameters) and parameters[0].name == "context"
        known = frozenset(hidden or {})
        judged = Judged.by(judge)
        schema = NodeSchema(
            type=type_name,
            display_name=title,
            category=category,
            function=f"{function.__module__}:{function.__name__}",
            description=_first_paragraph(function.__doc__),
            inputs=tuple(
                _input(parameter, hints[parameter.name])
                for parameter in parameters[1 if wants_context else 0 :]
                if parameter.name not in known
            ),
            hidden=dict(hidden or {}),
            outputs=_outputs(hints["return"]),
            output_node=output_node,
            is_input_list=takes_lists,
            search_aliases=search_aliases,
            validates=judged.names,
            validates_all=judged.takes_all,
            validates_types=judged.takes_types,
            expands=expands,
            experimental=experimental,
        )
        return NodeType(
            schema=schema,
            function=function,
            wants_context=wants_context,
            hidden_names=known & {parameter.name for parameter in parameters},
            wants=wants,
            judge=judge,
            changes=changes,
        )

    return declare


@dataclass(frozen=True)
class Judged:
    """What a type's own judge takes: inputs by name, all of them, the types wired to them."""

    names: frozenset[str] = frozenset()
    takes_all: bool = False
    takes_types: bool = False

    @classmethod
    def by(cls, judge: Callable[..., bool | str] | None) -> Judged:
        """Return what a judge takes, as its parameters tell; nothing if there is none."""
        if judge is None:
            return cls()
        parameters = inspect.signature(judge).parameters.values()
        keywords = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
        return cls(
            names=frozenset(keywords - {WIRED_TYPES}),
            takes_all=len(keywords) < len(parameters),
            takes_types=WIRED_TYPES in keywords,
        )


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


def _input(parameter: inspect.Parameter, hint: object) -> InputSpec:
    required, plain, extras = _taken_apart(hint)
    widget = next((extra for extra in extras if isinstance(extra, Widget)), Widget())
    choices = next((extra for extra in extras if isinstance(extra, Choices)), None)
    same = next((extra for extra in extras if isinstance(extra, Same)), None)
    tooltip = next((extra for extra in extras if isinstance(extra, str)), "")
    options = _options(plain)
    return InputSpec(
        name=parameter.name,
        type=COMBO if choices or options else MATCHING if same else _type_name(plain),
        template=same.template if same else None,
        required=required,
        default=MISSING if parameter.default is inspect.Parameter.empty else parameter.default,
        options=options,
        choices=choices.source if choices else None,
        image_upload=bool(choices and choices.upload),
        tooltip=tooltip,
        **vars(widget),
    )


def _taken_apart(hint: object) -> tuple[bool, object, tuple[object, ...]]:
    """Return whether an input is required, its bare type, and what is annotated on it.

    `Annotated[X, ...] | None` and `Annotated[X | None, ...]` mean the same.
    """
    plain, outer = _unwrap(hint)
    required, plain = _without_none(plain)
    plain, inner = _unwrap(plain)
    return required, _item(plain)[0], outer + inner


def _unwrap(hint: object) -> tuple[object, tuple[object, ...]]:
    if get_origin(hint) is Annotated:
        plain, *extras = get_args(hint)
        return plain, tuple(extras)
    return hint, ()


def _item(plain: object) -> tuple[object, bool]:
    """Return what a list is of, and whether it is one."""
    return (get_args(plain)[0], True) if get_origin(plain) is list else (plain, False)


def _without_none(plain: object) -> tuple[bool, object]:
    if get_origin(plain) not in (Union, UnionType):
        return True, plain
    members = [member for member in get_args(plain) if member is not NoneType]
    required = len(members) == len(get_args(plain))
    return required, members[0] if len(members) == 1 else Union[tuple(members)]  # noqa: UP007


def _options(plain: object) -> tuple[str, ...] | None:
    return tuple(get_args(plain)) if get_origin(plain) is Literal else None


def _type_name(plain: object) -> str:
    if get_origin(plain) in (Union, UnionType):
        return ",".join(_type_name(member) for member in get_args(plain))
    name = WIDGET_NAMES.get(plain) or SOCKET_NAMES.get(plain)
    if name is None:
        raise TypeError(f"{plain!r} is neither a socket nor a widget type")
    return name


def _outputs(hint: Any) -> tuple[OutputSpec, ...]:
    plain, _ = _unwrap(_valued(hint))
    if get_origin(plain) is Shown:
        return _outputs(get_args(plain)[0])
    if plain is NoneType:
        return ()
    if isinstance(plain, type) and issubclass(plain, tuple) and hasattr(plain, "_fields"):
        hints = get_type_hints(plain, include_extras=True)
        return tuple(_output(name, hints[name]) for name in plain._fields)
    return (_output("", plain),)


def _valued(hint: Any) -> Any:
    """Return an annotation without what may stand in place of values."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    members = tuple(member for member in get_args(hint) if member not in (Blocked, Expanded))
    return Union[members]  # noqa: UP007


def _output(name: str, hint: object) -> OutputSpec:
    plain, extras = _unwrap(_valued(hint))
    tooltip = next((extra for extra in extras if isinstance(extra, str)), "")
    same = next((extra for extra in extras if isinstance(extra, Same)), None)
    plain, is_list = _item(plain)
    type_name = COMBO if _options(plain) else MATCHING if same else _type_name(plain)
    return OutputSpec(
        name=name or type_name,
        type=type_name,
        is_list=is_list,
        tooltip=tooltip,
        template=same.template if same else None,
    )
