"""Inputs of the newer protocol that are made of others: lists that grow, choices with more behind.

The inputs within are optional ones of the node here, under `<group>.<input>` as in prompts, and
are handed over as one dictionary again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from libs.graph.schema import ANY, COMBO
from libs.nodes.packs.inputs import NotUnderstood
from libs.nodes.packs.shims.wires import Input, Output, comfytype, types_named

GROWN_MAX: Final = 100


class Group(Input):
    """An input whose value is a dictionary."""

    def parts(self) -> Iterator[tuple[str, Input, bool]]:
        """Give the inputs within: their name in a prompt, the input, and whether it is required."""
        raise NotImplementedError

    def gathered(self, given: dict[str, Any]) -> Any:
        """Take the inputs within out of what was given, and return the value of the group."""
        raise NotImplementedError


@dataclass(frozen=True)
class TemplateNames:
    """Inputs of these names."""

    input: Input
    names: Sequence[str]
    min: int = 1

    def listed(self) -> list[str]:
        """Return all names."""
        return list(self.names)[:GROWN_MAX]


@dataclass(frozen=True)
class TemplatePrefix:
    """Inputs that are numbered."""

    input: Input
    prefix: str
    min: int = 1
    max: int = 10

    def listed(self) -> list[str]:
        """Return all names."""
        return [f"{self.prefix}{number}" for number in range(min(self.max, GROWN_MAX))]


class Grown(Group):
    """As many inputs of one kind as are wired."""

    def __init__(self, id: str, template: TemplateNames | TemplatePrefix, **more: Any) -> None:
        super().__init__(id, **more)
        self.template = template

    def parts(self) -> Iterator[tuple[str, Input, bool]]:
        """Give one input for each name."""
        for number, name in enumerate(self.template.listed()):
            needed = number < self.template.min and not self.optional
            yield (
                f"{self.id}.{name}",
                self.template.input,
                needed and not self.template.input.optional,
            )

    def gathered(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return what is there, by the names, in order."""
        names = {name: f"{self.id}.{name}" for name in self.template.listed()}
        return {name: given.pop(full) for name, full in names.items() if full in given}


class Autogrow:
    """A list of inputs that grows in the editor."""

    Type: TypeAlias = dict[str, Any]
    Input = Grown
    TemplateNames = TemplateNames
    TemplatePrefix = TemplatePrefix


@dataclass(frozen=True)
class Option:
    """One choice, and the inputs that it brings."""

    key: str
    inputs: Sequence[Input]


class Chosen(Group):
    """A choice; the inputs of all options are there, those of the chosen one are handed over."""

    io_type = COMBO

    def __init__(self, id: str, options: Sequence[Option], **more: Any) -> None:
        super().__init__(id, **more)
        self.choices = options

    def told(self) -> tuple[Any, dict[str, Any]]:
        """Return the choice itself."""
        return (COMBO, {**self.options(), "options": [one.key for one in self.choices]})

    def parts(self) -> Iterator[tuple[str, Input, bool]]:
        """Give the inputs of all options, each name once."""
        seen: set[str] = set()
        for option in self.choices:
            for one in option.inputs:
                if isinstance(one, Group):
                    raise NotUnderstood(f"the input {self.id} has groups within groups")
                if one.id not in seen:
                    seen.add(one.id)
                    yield f"{self.id}.{one.id}", one, False

    def gathered(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the choice under the name of the input, and what belongs to it."""
        chosen = given.pop(self.id, None)
        held = {name: given.pop(name) for name, _, _ in self.parts() if name in given}
        of_it = next((one.inputs for one in self.choices if one.key == chosen), ())
        values: dict[str, Any] = {self.id: chosen}
        for one in of_it:
            told = one.options()
            if (full := f"{self.id}.{one.id}") in held:
                values[one.id] = held[full]
            elif "default" in told:
                values[one.id] = told["default"]
        return values


class DynamicCombo:
    """A choice that brings inputs."""

    Type: TypeAlias = dict[str, Any]
    Input = Chosen
    Option = Option


@dataclass(frozen=True)
class Template:
    """A name for a type that several wires of a node share."""

    template_id: str
    allowed_types: Any = None

    @property
    def io_type(self) -> str:
        """Return which types it may be."""
        allowed = self.allowed_types
        if allowed is None:
            return ANY
        return types_named(allowed if isinstance(allowed, list | tuple) else [allowed])


class MatchInput(Input):
    """An input of whatever type the template turns out to be."""

    def __init__(self, id: str, template: Template, **more: Any) -> None:
        super().__init__(id, **more)
        self.template = template
        self.io_type = template.io_type


class MatchOutput(Output):
    """An output of that type."""

    def __init__(self, template: Template, **more: Any) -> None:
        super().__init__(**more)
        self.template = template


class MatchType:
    """A type that is the same wherever a node names the same template."""

    Type: TypeAlias = Any
    Template = Template
    Input = MatchInput
    Output = MatchOutput


class SeveralInput(Input):
    """An input of several types; given as an input of one of them, it has the default of that."""

    def __init__(self, id: str | Input, types: Sequence[Any], **more: Any) -> None:
        name = id.id if isinstance(id, Input) else id
        if isinstance(id, Input):
            more = {**id.more, "optional": id.optional, "tooltip": id.tooltip, **more}
            types = [id, *types]
        super().__init__(name, **more)
        self.io_type = types_named(types)


class MultiType:
    """Several types."""

    Type: TypeAlias = Any
    Input = SeveralInput


@comfytype("COMBO")
class MultiCombo:
    """Several of a list: not known here, so a class that has one is not loaded."""

    class Input(Input):
        """Says so."""

        def told(self) -> tuple[Any, dict[str, Any]]:
            """Raise NotUnderstood."""
            raise NotUnderstood(f"the input {self.id} is a list of several choices (MultiCombo)")
