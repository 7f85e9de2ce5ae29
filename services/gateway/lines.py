"""Open prompts as entries of the queue, in either dialect."""

from __future__ import annotations

from dataclasses import dataclass

from libs.core.jsonvalue import Json, JsonObject
from libs.events.envelope import rfc3339
from libs.graph.schema import Catalogue
from libs.sealed.base import Vault
from services.gateway.domain.queue import Queue
from services.gateway.domain.story import Owner, Story
from services.gateway.workflows import Workflow, extra_of, in_dialect, opened


@dataclass(frozen=True)
class Line:
    """The owner's open prompts at one moment, with their workflows."""

    running: tuple[tuple[Story, Workflow], ...]
    pending: tuple[tuple[Story, Workflow], ...]


async def line_of(
    vault: Vault, queue: Queue, owner: Owner, *, pending_workflows: bool = True
) -> Line:
    """Read the queue at one moment, then unseal what is shown of it."""
    running, pending = queue.running(owner), queue.pending(owner)
    shown = (*running, *pending) if pending_workflows else tuple(running)
    workflows = await opened(vault, owner[0], [story.submitted.workflow for story in shown])
    unopened = [Workflow()] * (len(running) + len(pending) - len(shown))
    pairs = list(zip((*running, *pending), (*workflows, *unopened), strict=True))
    return Line(tuple(pairs[: len(running)]), tuple(pairs[len(running) :]))


def comfy_queue(line: Line, catalogue: Catalogue) -> JsonObject:
    """Return the queue as clients of ComfyUI read it."""

    def item(story: Story, workflow: Workflow) -> Json:
        return [
            story.number,
            story.prompt_id,
            in_dialect(workflow.prompt, "comfyui", catalogue),
            extra_of(workflow, story.submitted.client_id),
            list(story.outputs),
        ]

    return {
        "queue_running": [item(*pair) for pair in line.running],
        "queue_pending": [item(*pair) for pair in line.pending],
    }


def hip_queue(line: Line, catalogue: Catalogue) -> JsonObject:
    """Return the queue as HIP-35 describes it; `number` is the place in the line, from 0."""
    running: list[Json] = [
        {
            "prompt_id": story.prompt_id,
            "workflow": in_dialect(workflow.prompt, "hip35", catalogue),
            "started": rfc3339(story.leased_at) if story.leased_at else None,
        }
        for story, workflow in line.running
    ]
    pending: list[Json] = [
        {
            "prompt_id": story.prompt_id,
            "number": place,
            "queued": rfc3339(story.queued_at) if story.queued_at else None,
            "seq": story.queued.number if story.queued else None,
        }
        for place, (story, _) in enumerate(line.pending)
    ]
    return {"queue_running": running, "queue_pending": pending}
