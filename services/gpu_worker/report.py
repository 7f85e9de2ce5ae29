"""Who hears what an execution does."""

from __future__ import annotations

from typing import Protocol

from libs.core.jsonvalue import JsonObject
from libs.graph.growing import Place
from libs.graph.value import Node


class Report(Protocol):
    """Hears what happens, in order."""

    def cached(self, node_ids: tuple[str, ...]) -> None:
        """Hear once, first of all, which nodes will not be executed."""

    def started(self, node_id: str) -> None:
        """Hear that a node begins; may raise Interrupted.

        A node that asks for lazy inputs begins once more when they are there.
        """

    def finished(self, node_id: str, ui: JsonObject | None) -> None:
        """Hear that a node ended, and what it shows. Cached output nodes are heard of too.

        A node whose files take time to make is heard of from another thread, when they are made;
        the next nodes may have begun by then.
        """

    def grown(self, node: Node, place: Place) -> None:
        """Hear of a node that an expansion added, before anything else about it."""

    def blocked(self, node_id: str, message: str) -> None:
        """Hear why a node is not executed; the run goes on."""

    def check(self) -> None:
        """Raise Interrupted if the run was stopped."""
