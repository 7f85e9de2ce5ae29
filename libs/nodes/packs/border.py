"""The border between the values of this house and those that packs know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from libs.graph.schema import ANY
from libs.nodes.expansion import Blocked


class Exchange(Protocol):
    """Turns values into those that packs know, and back; what it does not know stays as it is."""

    def theirs(self, value: Any) -> Any:
        """Return a value of the house as packs know it."""

    def ours(self, value: Any, socket_type: str) -> Any:
        """Return a pack's value as the house knows it on a wire of that type."""


@dataclass
class Border:
    """One call: what was handed over is known again when it comes back on a wire of any type."""

    exchange: Exchange
    _lent: dict[int, tuple[object, object]] = field(default_factory=dict)

    def given(self, inputs: Mapping[str, object], *, lists: bool) -> dict[str, Any]:
        """Return the inputs of a call; with `lists` each is a list of values."""
        return {
            name: [self._out(one) for one in value]
            if lists and isinstance(value, list)
            else self._out(value)
            for name, value in inputs.items()
        }

    def taken(self, value: Any, socket_type: str) -> Any:
        """Return what a pack put on a wire."""
        if isinstance(value, Blocked):
            return value
        lent = self._lent.get(id(value))
        # A pack may have changed what it was lent; where the type says what it is, it is read anew.
        if lent is not None and lent[0] is value and socket_type == ANY:
            return lent[1]
        return self.exchange.ours(value, socket_type)

    def taken_within(self, nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return nodes of an expansion with values that the house knows in their inputs."""
        return {
            node_id: {
                **body,
                "inputs": {
                    name: self.taken(value, ANY)
                    for name, value in (body.get("inputs") or {}).items()
                },
            }
            for node_id, body in nodes.items()
        }

    def _out(self, value: object) -> object:
        theirs = self.exchange.theirs(value)
        if theirs is not value:
            # Both are kept: an identity holds only as long as the value lives.
            self._lent[id(theirs)] = (theirs, value)
        return theirs
