"""What the checker looks at, as plain values, and what it says when something is wrong."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, TypeAlias

Key: TypeAlias = tuple[str, str]
Table: TypeAlias = Sequence[Mapping[str, Any]]
Kind: TypeAlias = Literal["lost", "doubled", "misbilled", "broken"]
ACCEPTED = 200
TENANT_TOKEN = 2


@dataclass(frozen=True)
class Breach:
    """One broken promise: which invariant, of what kind, about which prompt."""

    invariant: str
    kind: Kind
    what: str
    prompt: Key = ("", "")

    def __str__(self) -> str:
        where = f" {self.prompt[0]}/{self.prompt[1]}" if self.prompt[1] else ""
        return f"{self.invariant} {self.kind}{where}: {self.what}"


@dataclass
class Receipt:
    """What one customer knows of one submission; `client_id` is of this submission alone.

    `answers` are all statuses in order, 0 for an answer that never came; `prompt_ids` are the
    ids that it was accepted under, which should all be one.
    """

    client_id: str
    tenant: str
    user: str
    intent: str
    keyed: bool
    sent_at: float
    answers: list[int] = field(default_factory=list)
    prompt_ids: list[str] = field(default_factory=list)
    answered_at: float = 0.0

    @property
    def prompt_id(self) -> str:
        """Return the id that it was accepted under, empty when it was not."""
        return self.prompt_ids[-1] if self.prompt_ids else ""

    @property
    def status(self) -> int:
        """Return the answer that the customer was left with, 0 when there was none."""
        return self.answers[-1] if self.answers else 0


@dataclass(frozen=True)
class ArchiveRow:
    """One row of `event_log`."""

    seq: int
    subject: str
    payload: bytes
    hash: bytes
    event_id: str | None


@dataclass(frozen=True)
class StreamRow:
    """One message of EVENTS, read from NATS itself."""

    seq: int
    subject: str
    payload: bytes


@dataclass(frozen=True)
class Event:
    """What an archived payload says."""

    seq: int
    type: str
    tenant: str
    prompt_id: str
    time: datetime
    subject: str
    data: Mapping[str, Any]

    @property
    def attempt(self) -> int:
        """Return the attempt that the event is about, 0 when about none."""
        return int(self.data.get("attempt", 0))


@dataclass(frozen=True)
class Shown:
    """A file that the history lists for a prompt, and what its owner got for asking."""

    node_id: str
    filename: str
    subfolder: str
    folder: str
    status: int
    sha256: str


@dataclass(frozen=True)
class Glimpse:
    """An attempt to see what must not be seen, and the status that it was answered with.

    `saw` says that bytes or facts came back.
    """

    what: str
    prompt: Key
    status: int
    saw: bool


@dataclass(frozen=True)
class Evidence:
    """Everything that was gathered from a house that has come to rest."""

    receipts: Sequence[Receipt]
    archive: Sequence[ArchiveRow]
    stream: Sequence[StreamRow]
    tables: Mapping[str, Table]
    blobs: Mapping[str, str]
    shown: Mapping[Key, Sequence[Shown]] = field(default_factory=dict)
    costs: Mapping[Key, int] = field(default_factory=dict)
    glimpses: Sequence[Glimpse] = ()

    @cached_property
    def events(self) -> list[Event]:
        """Return all archived events in order; a copy of an event counts once."""
        return [event_of(row) for row in self.archive if row.event_id is not None]

    @cached_property
    def stories(self) -> dict[Key, list[Event]]:
        """Return the events of each prompt in order."""
        stories: dict[Key, list[Event]] = defaultdict(list)
        for event in self.events:
            if event.prompt_id:
                stories[event.tenant, event.prompt_id].append(event)
        return dict(stories)


def event_of(row: ArchiveRow) -> Event:
    """Read the bytes of a row."""
    body = json.loads(row.payload)
    return Event(
        seq=row.seq,
        type=body["type"].rpartition(".")[2],
        tenant=row.subject.split(".")[TENANT_TOKEN],
        prompt_id=body.get("correlationid", ""),
        time=datetime.fromisoformat(body["time"]),
        subject=row.subject,
        data=body["data"],
    )


def of_type(story: Sequence[Event], *types: str) -> list[Event]:
    """Return the events of these types, in order."""
    return [event for event in story if event.type in types]


def end_of(story: Sequence[Event]) -> Event | None:
    """Return the first RunEnded, if there is one."""
    return next(iter(of_type(story, "RunEnded")), None)
