"""Events of a prompt's submission, written by the gateway."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from libs.events.base import PromptScoped, Sealed

# "default" is what the server draws of itself, which is nothing.
DRAWN_PREVIEWS = frozenset({"auto", "latent2rgb", "taesd"})


class PromptEvent(PromptScoped):
    """Owned by the gateway."""

    owner = "gateway"
    kind = "prompt"


class PromptSubmitted(PromptEvent):
    """Somebody handed in a workflow.

    `workflow` seals `{prompt, extra_data, targets}` as received. `body_mac` is a keyed digest of
    the body, so that the same id with another body can be told apart without keeping the body.
    `keyed` says that the caller chose the id and may ask again; without it a submission that
    was not answered in time is withdrawn. `answer_by` is when such a caller is told that nothing
    will come of it: a run is not accepted after that, whether or not a withdrawal was written.
    `workflow_id` is the UUID that an editor gave the document the workflow was made from.
    """

    user_id: str
    account: str
    tier: str
    client_id: str = ""
    dialect: Literal["comfyui", "hip35"]
    workflow: Sealed
    body_mac: str
    keyed: bool
    answer_by: datetime | None = None
    front: bool = False
    priority: float | None = None
    preview_method: str | None = None
    workflow_id: str = ""
    source: str = "api"

    @property
    def wants_previews(self) -> bool:
        """Say whether the client asked for glances at the unfinished picture."""
        return self.preview_method in DRAWN_PREVIEWS


class PromptWithdrawn(PromptEvent):
    """The caller was told 503: nothing may be delivered or charged any more."""

    reason: str


class CancelRequested(PromptEvent):
    """Somebody wants the prompt to stop, wherever it is."""

    by: str


class HistoryRemoved(PromptEvent):
    """The owner took a finished prompt off the history; the record itself stays."""

    by: str


PromptEvents = PromptSubmitted | PromptWithdrawn | CancelRequested | HistoryRemoved
