"""Content names of results: equal names mean equal results, whoever asks and in which graph."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from libs.core.jsonvalue import Json
from libs.graph.effective import effective_inputs
from libs.graph.render import canonical
from libs.graph.schema import Catalogue, NodeSchema
from libs.graph.sockets import slot_index
from libs.graph.value import BrokenLink, Link, Node

Contents: TypeAlias = Mapping[tuple[str, str], str]
# What names a value that is no JSON, such as a picture that an expansion wrote into a node.
NameOf: TypeAlias = Callable[[object], Json | None]
KNOWS_ITS_PLACE: Final = frozenset({"UNIQUE_ID", "DYNPROMPT"})
# No literal has it in a key, so that none is taken for what it is not.
NO_LITERAL: Final = "\0"
SCALARS: Final = (str, int, bool, type(None))


class Unnamed(Exception):
    """Nothing says when the result would be the same, so it is made anew every time."""


class Fingerprints:
    """The fingerprints of one execution, each computed once and after those of its sources.

    Node type, literals and everything upstream count; node ids do not, except for types that ask
    for their own. None stands for a result that is never the same again.
    """

    def __init__(
        self,
        nodes: Callable[[str], Node],
        catalogue: Catalogue,
        contents: Contents | None = None,
        known: Mapping[str, str] | None = None,
    ) -> None:
        self.nodes = nodes
        self.catalogue = catalogue
        self.contents = contents or {}
        self._known: dict[str, str | None] = dict(known or {})

    def of(self, node_id: str) -> str | None:
        """Return the fingerprint of a node that was added."""
        return self._known.get(node_id)

    def add(
        self,
        order: Iterable[str],
        changes: Mapping[str, object] | None = None,
        name_of: NameOf = lambda _: None,
    ) -> None:
        """Name nodes, each after what it needs; `changes` are what types say of their change.

        A node before one of its sources, as on a cycle, has no name.
        """
        for node_id in order:
            node = self.nodes(node_id)
            try:
                signature = self._signature(node, changes or {}, name_of)
                self._known[node_id] = hashlib.sha256(canonical(signature)).hexdigest()
            except Unnamed:
                self._known[node_id] = None

    def _signature(self, node: Node, changes: Mapping[str, object], name_of: NameOf) -> Json:
        schema = self.catalogue.types[node.type]
        inputs: list[Json] = []
        for name, value in sorted(effective_inputs(node, schema).items()):
            spec = schema.input(name)
            choices = spec.choices if spec else None
            inputs.append([name, self._ingredient(value, choices, name_of)])
        place = node.id if _knows_its_place(schema) else None
        said = [_named(changes[node.id], _nothing)] if node.id in changes else []
        return [node.type, inputs, place, *said]

    def _ingredient(self, value: Json | Link, choices: str | None, name_of: NameOf) -> Json:
        if isinstance(value, BrokenLink):
            return ["value", value.received]
        if isinstance(value, Link):
            source = self._known.get(value.node_id)
            if source is None:
                raise Unnamed
            slots = self.catalogue.types[self.nodes(value.node_id).type]
            return ["node", source, slot_index(slots, value.slot)]
        if choices is not None and isinstance(value, str):
            return ["file", value, self.contents.get((choices, value))]
        return ["value", _named(value, name_of)]


def _knows_its_place(schema: NodeSchema) -> bool:
    return not KNOWS_ITS_PLACE.isdisjoint(schema.hidden.values())


def _nothing(_value: object) -> Json | None:
    return None


def _named(value: object, name_of: NameOf) -> Json:
    """Return a value as it can be compared; raise Unnamed for one that is never the same again."""
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, float) and not math.isnan(value):
        return value if math.isfinite(value) else {f"{NO_LITERAL}float": repr(value)}
    if isinstance(value, bytes):
        return {f"{NO_LITERAL}bytes": hashlib.sha256(value).hexdigest()}
    if isinstance(value, list | tuple):
        return [_named(item, name_of) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _named(item, name_of) for key, item in value.items()}
    named = name_of(value)
    if named is None:
        raise Unnamed
    return {f"{NO_LITERAL}made": named}
