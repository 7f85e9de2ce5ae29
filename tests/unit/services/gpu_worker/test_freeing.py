"""An engine that is asked for memory gives it between two jobs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.core.jsonvalue import JsonObject
from services.gpu_worker.engine import Engine
from services.gpu_worker.frames import FREE, Frame, Link


class Kept:
    """Something that is kept until it is let go of."""

    def __init__(self, name: str, done: list[str]) -> None:
        self.name = name
        self.done = done

    def free(self) -> None:
        """Let go."""
        self.done.append(self.name)


class Told:
    """A link that remembers what the agent is told."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, JsonObject]] = []

    def send(self, kind: str, facts: JsonObject, *_blobs: bytes) -> None:
        self.frames.append((kind, facts))


@pytest.mark.parametrize(
    ("models", "results", "freed"),
    [(True, False, ["models"]), (True, True, ["models", "results"]), (False, False, [])],
)
def test_what_was_asked_for_is_let_go_of_and_the_agent_hears_of_the_room(
    models: bool, results: bool, freed: list[str]
):
    done: list[str] = []
    link = Told()
    engine = Engine(cast("Link", link))
    loader = SimpleNamespace(cache=Kept("models", done))
    backend: Any = SimpleNamespace(loader=loader, room=lambda: {"free_mib": 7})
    memory: Any = Kept("results", done)
    engine._free(memory, backend, Frame(FREE, {"models": models, "results": results}))
    assert done == freed
    assert link.frames == [("room", {"free_mib": 7})]
