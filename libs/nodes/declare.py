"""How a node type is declared: one typed function, and the decorator that reads it.

The annotation of a parameter is its socket or widget type. `Literal` gives a list to choose
from, `Annotated[str, Choices("loras")]` a list known only where the files are, `| None` an
optional input, and a default is a default (a required input may have one). A plain string
inside `Annotated` is the tooltip; a `Widget` holds the editor's hints. The return annotation
gives the outputs: a NamedTuple several, in order, by field name; anything else a single one,
named after its type. `list[X]` as an output puts several values on one wire, and a node that
`takes_lists` is called once with a list for each input.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
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
from libs.graph.schema import ANY, COMBO, MISSING, InputSpec, NodeSchema, OutputSpec
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
class Shown(Generic[V_co]):
    """What an output node returns: its value, and what the clients get to see.

    A function as `ui` is called away from the sampling path, while the next nodes are executed:
    files are encoded and saved in there.
    """

    value: V_co
    ui: JsonObject | Callable[[], JsonObject]

    def told(self) -> JsonObject:
        """Return what the clients get to see, made now if it was not made yet."""
        return self.ui() if callable(self.ui) else self.ui


@dataclass(frozen=True)
class NodeType(Generic[P, R]):
    """A node type: its schema and the function behind it, which stays callable."""

    schema: NodeSchema
    function: Callable[P, R]
    wants_context: bool = field(default=False)

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
) -> Callable[[Callable[P, R]], NodeType[P, R]]:
    """Declare the decorated function as the node type `type_name`."""

    def declare(function: Callable[P, R]) -> NodeType[P, R]:
        hints = get_type_hints(function, include_extras=True)
        parameters = list(inspect.signature(function).parameters.values())
        wants_context = bool(parameters) and parameters[0].name == "context"
        schema = NodeSchema(
            type=type_name,
            display_name=title,
            category=category,
            function=f"{function.__module__}:{function.__name__}",
            description=_first_paragraph(function.__doc__),
            inputs=tuple(
                _input(parameter, hints[parameter.name])
                for parameter in parameters[1 if wants_context else 0 :]
            ),
            hidden=dict(hidden or {}),
            outputs=_outputs(hints["return"]),
            output_node=output_node,
            is_input_list=takes_lists,
            search_aliases=search_aliases,
        )
        return NodeType(schema=schema, function=function, wants_context=wants_context)

    return declare


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


def _input(parameter: inspect.Parameter, hint: object) -> InputSpec:
    required, plain, extras = _taken_apart(hint)
    widget = next((extra for extra in extras if isinstance(extra, Widget)), Widget())
    choices = next((extra for extra in extras if isinstance(extra, Choices)), None)
    tooltip = next((extra for extra in extras if isinstance(extra, str)), "")
    options = _options(plain)
    return InputSpec(
        name=parameter.name,
        type=COMBO if choices or options else _type_name(plain),
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
    plain, _ = _unwrap(hint)
    if get_origin(plain) is Shown:
        return _outputs(get_args(plain)[0])
    if plain is NoneType:
        return ()
    if isinstance(plain, type) and issubclass(plain, tuple) and hasattr(plain, "_fields"):
        hints = get_type_hints(plain, include_extras=True)
        return tuple(_output(name, hints[name]) for name in plain._fields)
    return (_output("", plain),)


def _output(name: str, hint: object) -> OutputSpec:
    plain, extras = _unwrap(hint)
    tooltip = next((extra for extra in extras if isinstance(extra, str)), "")
    plain, is_list = _item(plain)
    type_name = COMBO if _options(plain) else _type_name(plain)
    return OutputSpec(name=name or type_name, type=type_name, is_list=is_list, tooltip=tooltip)
