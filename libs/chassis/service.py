"""A service as a value: what it reacts to, answers, serves and does all the time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.artifacts.base import Artifacts
from libs.bus.base import AskHandler, Bus
from libs.events.base import Event, subject
from libs.events.envelope import Recorded
from libs.sealed.base import Vault
from libs.settings import Settings
from libs.telemetry.reactions import reacting

if TYPE_CHECKING:
    from fastapi import FastAPI

# A reaction takes Recorded of its own event class; the table's keys are what narrows it.
Reaction = Callable[[Recorded[Any]], Awaitable[None]]
Task = Callable[[], Awaitable[None]]


def utc_now() -> datetime:
    """Return the time; the one place where the house looks at a clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Resources:
    """The real adapters that a composition root hands to `build`."""

    bus: Bus
    artifacts: Artifacts
    database: AsyncEngine
    vault: Vault
    settings: Settings
    now: Callable[[], datetime] = utc_now


@dataclass(frozen=True)
class Service:
    """The table of contents of a service.

    `reacts` is read by one durable consumer named like the service. `tasks` run until they are
    cancelled; one that ends or raises brings the process down, and the supervisor starts it
    again. `ready` names what is still missing, or returns an empty string.
    """

    name: str
    reacts: Mapping[type[Event], Reaction] = field(default_factory=dict)
    answers: Mapping[str, AskHandler] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    app: FastAPI | None = None
    port: int = 0
    host: str = "127.0.0.1"
    ready: Callable[[], Awaitable[str]] | None = None
    start: Callable[[], Awaitable[None]] | None = None
    stop: Callable[[], Awaitable[None]] | None = None

    def filters(self) -> tuple[str, ...]:
        """Return the subjects that its reactions need, derived from the event classes."""
        return tuple(sorted({subject("*", event.kind, "*") for event in self.reacts}))

    async def handle(self, recorded: Recorded[Event]) -> None:
        """Hand an event to its reaction; events without one are none of its business."""
        reaction = self.reacts.get(type(recorded.event))
        if reaction is not None:
            with reacting(
                self.name,
                type(recorded.event).__name__,
                cause=recorded.traceparent,
                tenant=recorded.tenant,
                prompt_id=recorded.correlation_id,
            ):
                await reaction(recorded)
