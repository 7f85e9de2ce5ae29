"""What a worker says about itself: that it came, what it holds, that it left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from libs.events.base import Event
from libs.events.worker import (
    NodePacksListed,
    WeightsFile,
    WeightsListed,
    WorkerEvent,
    WorkerRegistered,
    WorkerStopped,
)


@dataclass(frozen=True)
class Presence:
    """What the worker said last."""

    registered: bool = False
    stopped: bool = False
    weights: dict[str, tuple[WeightsFile, ...]] | None = None
    packs: NodePacksListed | None = None


def initial() -> Presence:
    """Return a worker that has said nothing."""
    return Presence()


def decide(command: WorkerEvent, state: Presence) -> Sequence[Event]:
    """Return the news itself, unless it is none."""
    match command:
        case WorkerRegistered():
            known = state.registered
        case WeightsListed():
            known = state.stopped or command.weights == state.weights
        case NodePacksListed():
            known = state.stopped or command == state.packs
        case _:
            known = state.stopped or not state.registered
    return [] if known else [command]


def evolve(state: Presence, event: Event) -> Presence:
    """Return the worker after one event."""
    match event:
        case WorkerRegistered():
            return replace(state, registered=True)
        case WeightsListed():
            return replace(state, weights=event.weights)
        case NodePacksListed():
            return replace(state, packs=event)
        case WorkerStopped():
            return replace(state, stopped=True)
    return state
