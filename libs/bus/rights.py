"""Who may do what on the bus: the rights of every NATS user, derived from what the services do.

The server looks at what a client publishes and subscribes to, and at nothing else; whatever a
service reads of EVENTS, it asks JetStream for. So a right to write is a subject, and a right to
read is the right to ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from libs.bus.base import EVENTS_STREAM
from libs.bus.connection import API, inbox_prefix
from libs.bus.deadletter import PREFIX as LETTERS_PREFIX
from libs.bus.leadership import COUNTERS_STREAM, LEADERS_STREAM
from libs.bus.letters import LETTERS_STREAM, public_subject
from libs.bus.topology import streams
from libs.events.asks import LEASE_SUBJECT
from libs.events.base import subject
from libs.events.catalogue import EVENTS
from libs.events.signals import (
    FREE_SUBJECT,
    RECORDED_SUBJECT,
    control_subject,
    heartbeat_subject,
    preview_subject,
    progress_subject,
)
from libs.settings import Settings

OPERATOR: Final = "studio"
PROVISIONER: Final = "provision"
HOUSE: Final = "house"
WORKER: Final = "gpu_worker"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What one service does on the bus beside writing the kinds that it owns.

    `reacts` says that it has a durable reader of its own name, `reads_letters` that it reads the
    dead letters by one. `counters` are the counters it takes numbers of; `*` is every counter
    that no other role names.
    """

    sends: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()
    reacts: bool = False
    reads_letters: bool = False


ROLES: Final[Mapping[str, Role]] = {
    "recorder": Role(sends=(RECORDED_SUBJECT, public_subject("*", "*"))),
    "validator": Role(reacts=True),
    "moderation": Role(reacts=True),
    "billing": Role(reacts=True),
    "scheduler": Role(
        sends=(control_subject("*"),),
        hears=(heartbeat_subject("*"), LEASE_SUBJECT),
        answers=(WORKER,),
        claims=("scheduler",),
        counters=("run-number",),
        reacts=True,
        reads_letters=True,
    ),
    "gateway": Role(
        sends=(FREE_SUBJECT,),
        hears=(
            RECORDED_SUBJECT,
            progress_subject("*", "*"),
            preview_subject("*", "*"),
            heartbeat_subject("*"),
        ),
    ),
    WORKER: Role(
        sends=(
            progress_subject("*", "*"),
            preview_subject("*", "*"),
            heartbeat_subject("*"),
            LEASE_SUBJECT,
        ),
        hears=(control_subject("*"), FREE_SUBJECT),
        counters=("*",),
    ),
}

# Which roles a user has. The house is the process that runs all services but the worker.
USERS: Final[Mapping[str, tuple[str, ...]]] = {
    **{name: (name,) for name in ROLES},
    HOUSE: tuple(name for name in ROLES if name != WORKER),
}


@dataclass(frozen=True)
class Rights:
    """What one NATS user may publish and subscribe to; what is denied is so although allowed."""

    publish: tuple[str, ...]
    denied: tuple[str, ...]
    subscribe: tuple[str, ...]


def kinds_of(service: str) -> tuple[str, ...]:
    """Return the kinds of events that this service owns, and nobody else may write."""
    return tuple(sorted({event.kind for event in EVENTS.values() if event.owner == service}))


def rights_of(user: str) -> Rights:
    """Return the rights of one user of `USERS`, or of the one that provisions."""
    inbox = f"{inbox_prefix(user)}.>"
    if user == PROVISIONER:
        return Rights(tuple(_changing_streams()), (), (inbox,))
    roles = USERS[user]
    publish = [right for name in roles for right in _publishing(name)]
    hears = [pattern for name in roles for pattern in ROLES[name].hears]
    return Rights(_once(publish), _once(_denied(roles)), _once([inbox, *hears]))


def _publishing(name: str) -> Iterator[str]:
    role, kinds = ROLES[name], kinds_of(name)
    yield from (subject("*", kind, "*") for kind in kinds)
    yield from role.sends
    yield f"{LETTERS_PREFIX}.{name}.*"
    yield from (f"{inbox_prefix(asker)}.>" for asker in role.answers)
    yield f"{API}.STREAM.INFO.{EVENTS_STREAM}"
    if kinds:
        yield f"{API}.STREAM.MSG.GET.{EVENTS_STREAM}"
    # A reader of the moment gets its name from the server, so the name cannot be said here.
    yield f"{API}.CONSUMER.CREATE.{EVENTS_STREAM}"
    yield f"{API}.CONSUMER.MSG.NEXT.{EVENTS_STREAM}.*"
    yield f"{API}.CONSUMER.DELETE.{EVENTS_STREAM}.*"
    if role.reacts:
        yield f"{API}.CONSUMER.CREATE.{EVENTS_STREAM}.{name}"
        yield from _acks(EVENTS_STREAM, name)
    if role.reads_letters:
        yield f"{API}.CONSUMER.CREATE.{LETTERS_STREAM}.{name}"
        yield f"{API}.CONSUMER.MSG.NEXT.{LETTERS_STREAM}.{name}"
        yield from _acks(LETTERS_STREAM, name)
    yield from _values(LEADERS_STREAM, role.claims)
    yield from _values(COUNTERS_STREAM, role.counters)


def _values(stream: str, keys: Sequence[str]) -> Iterator[str]:
    """Yield what is needed to compare values of a bucket and set them."""
    if keys:
        yield f"{API}.STREAM.MSG.GET.{stream}"
    for key in keys:
        yield f"${stream.replace('_', '.', 1)}.{key}"


def _acks(stream: str, durable: str) -> Iterator[str]:
    yield f"$JS.ACK.{stream}.{durable}.>"
    # The newer form names a domain and an account first.
    yield f"$JS.ACK.*.*.{stream}.{durable}.>"


def _denied(roles: Sequence[str]) -> Iterator[str]:
    """Yield what the wildcards for readers of the moment must not reach: durable readers."""
    for name, role in ROLES.items():
        if role.reacts:
            yield f"{API}.CONSUMER.DELETE.{EVENTS_STREAM}.{name}"
            if name not in roles:
                yield f"{API}.CONSUMER.MSG.NEXT.{EVENTS_STREAM}.{name}"
    if any("*" in ROLES[name].counters for name in roles):
        others = (other for name, other in ROLES.items() if name not in roles)
        for other in others:
            yield from (f"$KV.counters.{key}" for key in other.counters if key != "*")


def _changing_streams() -> Iterator[str]:
    for plan in streams(Settings.model_construct()):
        for verb in ("INFO", "CREATE", "UPDATE"):
            yield f"{API}.STREAM.{verb}.{plan.name}"


def _once(texts: Iterator[str] | Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
