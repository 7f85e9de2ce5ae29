"""All event classes by their name on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Final, get_args

from libs.events.base import Event
from libs.events.execution import ExecutionEvents
from libs.events.ledger import LedgerEvents
from libs.events.moderation import ModerationEvents
from libs.events.prompt import PromptEvents
from libs.events.run import RunEvents
from libs.events.verdict import VerdictEvents
from libs.events.worker import WorkerEvents

_FAMILIES: Final[tuple[UnionType, ...]] = (
    PromptEvents,
    VerdictEvents,
    ModerationEvents,
    LedgerEvents,
    RunEvents,
    ExecutionEvents,
    WorkerEvents,
)

EVENTS: Final[Mapping[str, type[Event]]] = {
    cls.__name__: cls for family in _FAMILIES for cls in get_args(family)
}


def class_of(name: str) -> type[Event]:
    """Return the event class of that wire name; KeyError when it is unknown."""
    return EVENTS[name]
