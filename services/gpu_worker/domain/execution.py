"""What one prompt's executions may say: the newest attempt alone, each thing once, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.events.base import Event
from libs.events.execution import (
    ExecutionEvent,
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
)


@dataclass(frozen=True)
class Execution:
    """How far the newest attempt is."""

    attempt: int = 0
    worker_id: str = ""
    order: int = 0
    over: bool = False

    def covers(self, news: ExecutionEvent) -> bool:
        """Say whether `news` is already part of what was written."""
        return (news.attempt, news.worker_id) == (
            self.attempt,
            self.worker_id,
        ) and news.order <= self.order


def initial() -> Execution:
    """Return the state before any attempt."""
    return Execution()


def decide(command: ExecutionEvent, state: Execution) -> Sequence[Event]:
    """Return the news itself, or nothing when a newer attempt began or it was said before."""
    if command.attempt < state.attempt:
        return []
    if command.attempt == state.attempt:
        foreign = command.worker_id != state.worker_id
        if foreign or state.over or command.order <= state.order:
            return []
    return [command]


def evolve(state: Execution, event: Event) -> Execution:
    """Return the state after one event; events of others change nothing."""
    if not isinstance(event, ExecutionEvent):
        return state
    over = isinstance(event, ExecutionFinished | ExecutionFailed | ExecutionInterrupted)
    return Execution(event.attempt, event.worker_id, event.order, over)
