"""Moderation's two answers: clearance of the text before the run, release of each output after."""

from __future__ import annotations

from libs.events.base import PromptScoped


class ClearanceEvent(PromptScoped):
    """Owned by moderation; about the text."""

    owner = "moderation"
    kind = "clearance"


class PromptCleared(ClearanceEvent):
    """Nothing in the text is on the blocklist."""

    policy: str


class PromptBlocked(ClearanceEvent):
    """The text breaks the policy; `category` names the rule, never the words."""

    category: str
    policy: str


class ReleaseEvent(PromptScoped):
    """Owned by moderation; about one output of one attempt."""

    owner = "moderation"
    kind = "release"


class OutputReleased(ReleaseEvent):
    """The output may be served, from `artifact`."""

    attempt: int
    node_id: str
    index: int
    artifact: str
    sha256: str
    scores: dict[str, float] = {}
    classifier: str = ""


class OutputBlocked(ReleaseEvent):
    """The output must never be served; the bytes stay in quarantine."""

    attempt: int
    node_id: str
    index: int
    category: str
    scores: dict[str, float] = {}
    classifier: str = ""


ModerationEvents = PromptCleared | PromptBlocked | OutputReleased | OutputBlocked
