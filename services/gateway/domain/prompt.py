"""A submission: handed in, withdrawn, cancelled, taken off the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from libs.core.errors import Refused
from libs.events.prompt import (
    CancelRequested,
    HistoryRemoved,
    PromptEvents,
    PromptSubmitted,
    PromptWithdrawn,
)

SAME_ID_OTHER_BODY = "This prompt_id was already used for another workflow"


@dataclass(frozen=True)
class Submit:
    """Somebody hands in a workflow."""

    event: PromptSubmitted


@dataclass(frozen=True)
class Withdraw:
    """The caller got no answer in time and cannot ask again."""

    prompt_id: str
    reason: str


@dataclass(frozen=True)
class Cancel:
    """Somebody wants the prompt to stop."""

    prompt_id: str
    by: str


@dataclass(frozen=True)
class Remove:
    """The owner takes a finished prompt off the history."""

    prompt_id: str
    by: str


Command = Submit | Withdraw | Cancel | Remove


@dataclass(frozen=True)
class Prompt:
    """What the rules below need to remember, and nothing more."""

    body_mac: str = ""
    keyed: bool = False
    withdrawn: bool = False
    cancelled: bool = False
    removed: bool = False

    @property
    def exists(self) -> bool:
        """Say whether it was ever handed in."""
        return bool(self.body_mac)


def initial() -> Prompt:
    """Return a prompt that nobody has heard of."""
    return Prompt()


def decide(command: Command, prompt: Prompt) -> Sequence[PromptEvents]:
    """Return what happens; nothing for what already happened."""
    match command:
        case Submit():
            return _submit(command.event, prompt)
        case Withdraw():
            possible = prompt.exists and not (prompt.keyed or prompt.withdrawn)
            event = PromptWithdrawn(prompt_id=command.prompt_id, reason=command.reason)
            return [event] if possible else []
        case Cancel():
            possible = prompt.exists and not (prompt.cancelled or prompt.withdrawn)
            return [CancelRequested(prompt_id=command.prompt_id, by=command.by)] if possible else []
        case Remove():
            possible = prompt.exists and not prompt.removed
            return [HistoryRemoved(prompt_id=command.prompt_id, by=command.by)] if possible else []
    assert_never(command)


def evolve(prompt: Prompt, event: PromptEvents) -> Prompt:
    """Return the prompt after `event`; events of other kinds change nothing."""
    match event:
        case PromptSubmitted():
            return replace(prompt, body_mac=event.body_mac, keyed=event.keyed)
        case PromptWithdrawn():
            return replace(prompt, withdrawn=True)
        case CancelRequested():
            return replace(prompt, cancelled=True)
        case HistoryRemoved():
            return replace(prompt, removed=True)
    return prompt


def _submit(event: PromptSubmitted, prompt: Prompt) -> Sequence[PromptEvents]:
    if not prompt.exists:
        return [event]
    if prompt.body_mac == event.body_mac:
        return []
    raise Refused(
        SAME_ID_OTHER_BODY,
        kind="prompt_id_reused",
        status=422,
        field="prompt_id",
        received=event.prompt_id,
    )
