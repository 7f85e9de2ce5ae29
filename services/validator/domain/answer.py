"""The validator's decider: one verdict for a prompt, whatever is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.events.base import Event
from libs.events.verdict import PromptRejected, PromptValidated


@dataclass(frozen=True)
class GiveVerdict:
    """The verdict that was reached, as the event that says it."""

    event: PromptValidated | PromptRejected


def initial() -> bool:
    """Return that there is no verdict yet."""
    return False


def decide(command: GiveVerdict, state: bool) -> Sequence[Event]:
    """Return the verdict, once."""
    return [] if state else [command.event]


def evolve(state: bool, event: Event) -> bool:
    """Return whether there is a verdict after `event`."""
    return state or isinstance(event, PromptValidated | PromptRejected)
