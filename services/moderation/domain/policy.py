"""From what was seen to what is said: the deciders of clearance and of release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from libs.events.base import Event
from libs.events.moderation import (
    OutputBlocked,
    OutputReleased,
    PromptBlocked,
    PromptCleared,
)


@dataclass(frozen=True)
class Moderated:
    """What was already said about a prompt: its text, and each output of each attempt."""

    text: bool = False
    outputs: frozenset[tuple[int, str, int]] = field(default_factory=frozenset)


@dataclass(frozen=True)
class JudgeText:
    """The text was held against the blocklist; `category` is None when nothing was found."""

    prompt_id: str
    category: str | None
    policy: str


@dataclass(frozen=True)
class JudgeOutput:
    """An output was looked at; `artifact` is where it lies once it is released.

    A score at or above the threshold of its label blocks. Without scores only an output that is
    neither picture nor film is released; one that could not be judged is blocked as `unjudged`.
    """

    prompt_id: str
    attempt: int
    node_id: str
    index: int
    artifact: str
    sha256: str
    seen: bool
    scores: Mapping[str, float]
    thresholds: Mapping[str, float]
    classifier: str


Command = JudgeText | JudgeOutput


def initial() -> Moderated:
    """Return that nothing was said yet."""
    return Moderated()


def decide(command: Command, state: Moderated) -> Sequence[Event]:
    """Return the answer, once."""
    if isinstance(command, JudgeText):
        return [] if state.text else [_clearance(command)]
    if (command.attempt, command.node_id, command.index) in state.outputs:
        return []
    return [_release(command)]


def evolve(state: Moderated, event: Event) -> Moderated:
    """Return what has been said after `event`."""
    match event:
        case PromptCleared() | PromptBlocked():
            return replace(state, text=True)
        case OutputReleased() | OutputBlocked():
            judged = (event.attempt, event.node_id, event.index)
            return replace(state, outputs=state.outputs | {judged})
        case _:
            return state


def category_of(command: JudgeOutput) -> str | None:
    """Return the label that blocks the output, or None; the worst excess comes first."""
    if not command.scores:
        return "unjudged" if command.seen else None
    over = {
        label: score - command.thresholds.get(label, 1.0)
        for label, score in command.scores.items()
        if score >= command.thresholds.get(label, 1.0)
    }
    return max(over, key=lambda label: over[label]) if over else None


def _clearance(command: JudgeText) -> Event:
    if command.category is None:
        return PromptCleared(prompt_id=command.prompt_id, policy=command.policy)
    return PromptBlocked(
        prompt_id=command.prompt_id, category=command.category, policy=command.policy
    )


def _release(command: JudgeOutput) -> Event:
    category = category_of(command)
    if category is None:
        return OutputReleased(
            prompt_id=command.prompt_id,
            attempt=command.attempt,
            node_id=command.node_id,
            index=command.index,
            artifact=command.artifact,
            sha256=command.sha256,
            scores=dict(command.scores),
            classifier=command.classifier,
        )
    return OutputBlocked(
        prompt_id=command.prompt_id,
        attempt=command.attempt,
        node_id=command.node_id,
        index=command.index,
        category=category,
        scores=dict(command.scores),
        classifier=command.classifier,
    )
