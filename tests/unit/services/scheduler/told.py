"""The events of one prompt, as the services tell them, for tests of the scheduler."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from libs.events.base import Event, Sealed
from libs.events.execution import (
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
    ExecutionStarted,
    NodeFinished,
    Output,
)
from libs.events.ledger import CreditsHeld, CreditsRefused
from libs.events.moderation import OutputBlocked, OutputReleased, PromptBlocked, PromptCleared
from libs.events.prompt import CancelRequested, PromptSubmitted, PromptWithdrawn
from libs.events.run import LeaseExpired, LeaseGranted, RunEnded, RunQueued
from libs.events.verdict import PromptRejected, PromptValidated, WeightsNeed, WorkEstimate

PROMPT = "p1"
ADA = "gpu0-ada"
BOB = "gpu1-bob"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SEALED = Sealed(kid="k", inline="c2VhbGVk")
submitted = PromptSubmitted(
    prompt_id=PROMPT,
    user_id="u1",
    account="u1",
    tier="free",
    dialect="comfyui",
    workflow=SEALED,
    body_mac="m",
    keyed=False,
)


def validated(prompt_id: str = PROMPT, *needs: str, tier: str = "free", vram_mib: int = 0):
    split = (need.partition("/") for need in needs)
    return PromptValidated(
        prompt_id=prompt_id,
        account="u1",
        tier=tier,
        outputs=("9",),
        nodes=1,
        needs=tuple(WeightsNeed(folder=folder, name=name) for folder, _, name in split),
        vram_mib=vram_mib,
        estimate=WorkEstimate(megapixel_steps=1, images=1, steps=1),
    )


rejected = PromptRejected(prompt_id=PROMPT, status=422, code="too_many_nodes", detail=SEALED)
cleared = PromptCleared(prompt_id=PROMPT, policy="v1")
blocked_text = PromptBlocked(prompt_id=PROMPT, category="violence", policy="v1")
held = CreditsHeld(
    account="u1", prompt_id=PROMPT, amount=10, images=1, price_version="1", day="2026-11-23"
)
withdrawn = PromptWithdrawn(prompt_id=PROMPT, reason="too slow")
cancel = CancelRequested(prompt_id=PROMPT, by="u1")
queued = RunQueued(prompt_id=PROMPT, number=1, tier="free", account="u1")


def refused_credits(reason: str = "balance") -> CreditsRefused:
    return CreditsRefused(
        account="u1",
        prompt_id=PROMPT,
        reason=reason,
        needed=10,
        available=3,
        limit=50,
        retry_after_seconds=600 if reason == "daily_limit" else None,
    )


def lease(attempt: int = 1, worker_id: str = ADA) -> LeaseGranted:
    return LeaseGranted(
        prompt_id=PROMPT,
        worker_id=worker_id,
        attempt=attempt,
        expires_at=NOON + timedelta(hours=1),
    )


def expired(attempt: int = 1, cause: str = "silent", worker_id: str = ADA) -> LeaseExpired:
    return LeaseExpired(prompt_id=PROMPT, worker_id=worker_id, attempt=attempt, cause=cause)


def ended(outcome: str, attempt: int = 1, reason: str = "") -> RunEnded:
    return RunEnded(
        prompt_id=PROMPT,
        outcome=outcome,
        attempt=attempt,
        reason=reason,
    )


def started(attempt: int = 1) -> ExecutionStarted:
    return ExecutionStarted(prompt_id=PROMPT, attempt=attempt, worker_id=ADA, order=1)


def node_finished(attempt: int = 1, node_id: str = "9", files: int = 1) -> NodeFinished:
    outputs = tuple(
        Output(
            index=index,
            kind="images",
            filename=f"a_{index}.png",
            subfolder="",
            folder="output",
            artifact=f"quarantine/t/{PROMPT}/{attempt}/1-{index}",
            sha256="0" * 64,
            mime="image/png",
            size_bytes=1,
        )
        for index in range(files)
    )
    return NodeFinished(
        prompt_id=PROMPT,
        attempt=attempt,
        worker_id=ADA,
        order=2,
        node_id=node_id,
        node_type="SaveImage",
        outputs=outputs,
    )


def finished(attempt: int = 1, outputs: int = 1) -> ExecutionFinished:
    return ExecutionFinished(
        prompt_id=PROMPT, attempt=attempt, worker_id=ADA, order=3, compute_ms=5, outputs=outputs
    )


def failed(attempt: int = 1, *, retryable: bool = False) -> ExecutionFailed:
    return ExecutionFailed(
        prompt_id=PROMPT,
        attempt=attempt,
        worker_id=ADA,
        order=3,
        node_id="3",
        node_type="KSampler",
        exception_type="RuntimeError",
        detail=SEALED,
        retryable=retryable,
    )


def interrupted(attempt: int = 1) -> ExecutionInterrupted:
    return ExecutionInterrupted(prompt_id=PROMPT, attempt=attempt, worker_id=ADA, order=3)


def released(attempt: int = 1, node_id: str = "9", index: int = 0) -> OutputReleased:
    return OutputReleased(
        prompt_id=PROMPT,
        attempt=attempt,
        node_id=node_id,
        index=index,
        artifact=f"outputs/t/u1/{PROMPT}/{attempt}/1-{index}",
        sha256="0" * 64,
    )


def blocked_output(attempt: int = 1, node_id: str = "9", index: int = 0) -> OutputBlocked:
    return OutputBlocked(
        prompt_id=PROMPT, attempt=attempt, node_id=node_id, index=index, category="nudity"
    )


EVERYTHING_GOOD: tuple[Event, ...] = (submitted, validated(), cleared, held)
