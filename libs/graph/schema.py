"""What a node type looks like from outside: the one description every dialect is printed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Final

from libs.core.jsonvalue import Json

ANY: Final = "*"
COMBO: Final = "COMBO"
# Anything, but the same for all inputs and outputs of a node that name the same `template`.
MATCHING: Final = "COMFY_MATCHTYPE_V3"
WIDGET_TYPES: Final = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", COMBO})


class Missing(Enum):
    """The absence of a default, which is not the same as a default of null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """One input of a node type.

    `type` is a socket type (`MODEL`, `"IMAGE,MASK"`, `*`) or a widget type (`INT`, `COMBO` ...).
    A COMBO has either fixed `options` or `choices`, the name of a list that is only known where
    the files are: a folder of weights (`checkpoints`, `loras` ...) or `input` for uploads.
    `socket` forces a wire where the type would give a widget. What feeds a `lazy` input is only
    executed when the node asks for it; a `raw_link` is handed over as `[node_id, slot]` itself.
    `hints` are further options that only an editor reads.
    """

    name: str
    type: str
    required: bool = True
    default: Json | Missing = MISSING
    options: tuple[str, ...] | None = None
    choices: str | None = None
    min: float | int | None = None
    max: float | int | None = None
    step: float | int | None = None
    round: float | None = None
    multiline: bool = False
    dynamic_prompts: bool = False
    display: str | None = None
    socket: bool = False
    lazy: bool = False
    raw_link: bool = False
    control_after_generate: bool = False
    image_upload: bool = False
    label_on: str | None = None
    label_off: str | None = None
    tooltip: str = ""
    advanced: bool = False
    template: str | None = None
    hints: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """One output of a node type; names are unique within the node type."""

    name: str
    type: str
    is_list: bool = False
    tooltip: str = ""
    template: str | None = None


@dataclass(frozen=True, kw_only=True)
class NodeSchema:
    """A node type as the editor, the validator and the documents see it.

    `hidden` maps the names of inputs that the executor fills in itself to what they receive:
    PROMPT, EXTRA_PNGINFO, UNIQUE_ID, DYNPROMPT.

    Some types judge their inputs themselves: those named in `validates`, or all of them with
    `validates_all`; with `validates_types` also what may be wired to them. A type that `expands`
    may put further nodes in its place while it is executed. Without `fills_defaults` an input
    that was left out is left to the function.
    """

    type: str
    display_name: str
    category: str
    function: str
    description: str = ""
    inputs: tuple[InputSpec, ...] = ()
    hidden: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[OutputSpec, ...] = ()
    output_node: bool = False
    is_input_list: bool = False
    accepts_any_input: bool = False
    validates: frozenset[str] = frozenset()
    validates_all: bool = False
    validates_types: bool = False
    expands: bool = False
    fills_defaults: bool = True
    search_aliases: tuple[str, ...] = ()
    deprecated: bool = False
    experimental: bool = False

    @property
    def judges(self) -> bool:
        """Say whether the type has something to say about its own inputs."""
        return bool(self.validates) or self.validates_all or self.validates_types

    def judges_input(self, name: str) -> bool:
        """Say whether the type judges that input itself, so that no bound is looked at."""
        return self.validates_all or name in self.validates

    def input(self, name: str) -> InputSpec | None:
        """Return the declared input of that name, if there is one."""
        return self.inputs_by_name.get(name)

    @cached_property
    def inputs_by_name(self) -> Mapping[str, InputSpec]:
        """Return the declared inputs by their names, in declared order."""
        return {spec.name: spec for spec in self.inputs}


@dataclass(frozen=True)
class Catalogue:
    """All node types, and the lists that COMBO inputs with `choices` draw from."""

    types: Mapping[str, NodeSchema]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def options_of(self, spec: InputSpec) -> tuple[str, ...]:
        """Return what a COMBO input offers right now."""
        if spec.choices is not None:
            return self.choices.get(spec.choices, ())
        return spec.options or ()
