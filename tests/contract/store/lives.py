"""Lives of prompts: the events of each, as the services would write them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.events.base import Event, Sealed, subject_of
from libs.events.envelope import Cause, Recorded, unwrap, wrap
from libs.events.execution import (
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
    ExecutionStarted,
    NodeFinished,
    Output,
)
from libs.events.ledger import (
    CreditsCaptured,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsReleased,
)
from libs.events.moderation import OutputBlocked, OutputReleased, PromptBlocked, PromptCleared
from libs.events.prompt import CancelRequested, HistoryRemoved, PromptSubmitted, PromptWithdrawn
from libs.events.run import LeaseExpired, LeaseGranted, RunEnded, RunQueued, RunRefused
from libs.events.verdict import PromptRejected, PromptValidated, WeightsNeed, WorkEstimate
from libs.events.worker import WeightsFile, WeightsListed, WorkerRegistered, WorkerStopped
from libs.store import projections
from libs.store.engine import writing

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TENANT = "acme"
USER = "ada"
WORKFLOW = Sealed(kid="k1", inline="c2VhbGVk", clear_bytes=6)
DETAIL = Sealed(kid="k1", inline="d3Jvbmc=", clear_bytes=5)
PRICE = 240


def prompt_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def recorded(
    events: Iterable[Event], *, start: int = 1, tenant: str = TENANT
) -> list[Recorded[Event]]:
    """Return events as they lie on the stream from a sequence on, a millisecond apart."""
    return [
        unwrap(
            wrap(
                event,
                event_id=f"event-{seq}",
                tenant=tenant,
                source="test",
                time=NOON + timedelta(milliseconds=seq),
                cause=Cause(),
            ),
            seq=seq,
            subject=subject_of(tenant, event),
        )
        for seq, event in enumerate(events, start)
    ]


async def apply(
    engine: AsyncEngine, events: Iterable[Event], *, start: int = 1, tenant: str = TENANT
) -> int:
    """Apply events to all read models, twice; return the next sequence."""
    batch = recorded(events, start=start, tenant=tenant)
    for _ in range(2):
        async with writing(engine) as connection:
            await projections.apply(connection, batch)
    return start + len(batch)


def submitted(prompt: str, user: str = USER) -> PromptSubmitted:
    return PromptSubmitted(
        prompt_id=prompt,
        user_id=user,
        account=user,
        tier="free",
        client_id="tab",
        dialect="comfyui",
        workflow=WORKFLOW,
        body_mac="mac",
        keyed=False,
    )


def accepted(prompt: str, user: str = USER, *, number: int = 1) -> list[Event]:
    return [
        submitted(prompt, user),
        PromptValidated(
            prompt_id=prompt,
            account=user,
            tier="free",
            outputs=("9",),
            nodes=7,
            needs=(WeightsNeed(folder="checkpoints", name="demo.safetensors"),),
            vram_mib=512,
            estimate=WorkEstimate(megapixel_steps=1.5, images=1, steps=20),
        ),
        PromptCleared(prompt_id=prompt, policy="1"),
        CreditsHeld(
            account=user,
            prompt_id=prompt,
            amount=PRICE,
            images=1,
            price_version="1",
            day="2026-11-23",
        ),
        RunQueued(prompt_id=prompt, number=number, tier="free", account=user),
    ]


def leased(prompt: str, attempt: int = 1) -> LeaseGranted:
    return LeaseGranted(
        prompt_id=prompt,
        worker_id=f"worker-{attempt}",
        attempt=attempt,
        expires_at=NOON + timedelta(minutes=1),
    )


def started(prompt: str, attempt: int = 1) -> ExecutionStarted:
    return ExecutionStarted(
        prompt_id=prompt, attempt=attempt, worker_id="w", order=1, cached=("4",)
    )


def made(prompt: str, attempt: int = 1, filename: str = "a_00001_.png") -> NodeFinished:
    output = Output(
        index=0,
        kind="images",
        filename=filename,
        subfolder="",
        folder="output",
        artifact=f"quarantine/acme/{prompt}/{attempt}/2-0",
        sha256="aa" * 32,
        mime="image/png",
        size_bytes=4,
        width=64,
        height=48,
    )
    return NodeFinished(
        prompt_id=prompt,
        attempt=attempt,
        worker_id="w",
        order=2,
        node_id="9",
        node_type="SaveImage",
        outputs=(output,),
        ui=DETAIL,
    )


def finished(prompt: str, attempt: int = 1) -> ExecutionFinished:
    return ExecutionFinished(
        prompt_id=prompt,
        attempt=attempt,
        worker_id="w",
        order=3,
        compute_ms=1200,
        outputs=1,
        executed=("3", "9"),
        peak_vram_mib=300,
        fingerprint={"backend": "cpu"},
    )


def failed(prompt: str, attempt: int = 1) -> ExecutionFailed:
    return ExecutionFailed(
        prompt_id=prompt,
        attempt=attempt,
        worker_id="w",
        order=3,
        node_id="3",
        node_type="KSampler",
        exception_type="OutOfMemoryError",
        detail=DETAIL,
        executed=("4",),
    )


def released(prompt: str, attempt: int = 1) -> OutputReleased:
    return OutputReleased(
        prompt_id=prompt,
        attempt=attempt,
        node_id="9",
        index=0,
        artifact=f"outputs/acme/ada/{prompt}/{attempt}/2-0",
        sha256="bb" * 32,
    )


def output_blocked(prompt: str, attempt: int = 1) -> OutputBlocked:
    return OutputBlocked(prompt_id=prompt, attempt=attempt, node_id="9", index=0, category="nudity")


def ended(prompt: str, outcome: str, attempt: int = 1, reason: str = "") -> RunEnded:
    return RunEnded.model_validate(
        {"prompt_id": prompt, "outcome": outcome, "attempt": attempt, "reason": reason}
    )


def captured(prompt: str, user: str = USER) -> CreditsCaptured:
    return CreditsCaptured(account=user, prompt_id=prompt, amount=PRICE)


def given_back(prompt: str, user: str = USER, amount: int = PRICE) -> CreditsReleased:
    return CreditsReleased(account=user, prompt_id=prompt, amount=amount, reason="ended")


def granted(user: str = USER, amount: int = 1_000_000, grant_id: str = "welcome") -> CreditsGranted:
    return CreditsGranted(account=user, amount=amount, reason="welcome", grant_id=grant_id)


def success(prompt: str, user: str = USER, *, number: int = 1, attempt: int = 1) -> list[Event]:
    return [
        *accepted(prompt, user, number=number),
        leased(prompt, attempt),
        *success_of_attempt(prompt, user, attempt),
    ]


def success_of_attempt(prompt: str, user: str = USER, attempt: int = 1) -> list[Event]:
    return [
        started(prompt, attempt),
        made(prompt, attempt),
        finished(prompt, attempt),
        released(prompt, attempt),
        ended(prompt, "succeeded", attempt),
        captured(prompt, user),
    ]


def failure(prompt: str, user: str = USER, *, number: int = 1) -> list[Event]:
    return [
        *accepted(prompt, user, number=number),
        leased(prompt),
        started(prompt),
        failed(prompt),
        ended(prompt, "failed", reason="OutOfMemoryError"),
        given_back(prompt, user),
    ]


def interrupted(prompt: str, user: str = USER, *, number: int = 1) -> list[Event]:
    return [
        *accepted(prompt, user, number=number),
        leased(prompt),
        started(prompt),
        CancelRequested(prompt_id=prompt, by=user),
        ExecutionInterrupted(
            prompt_id=prompt,
            attempt=1,
            worker_id="w",
            order=2,
            node_id="3",
            node_type="KSampler",
            executed=("4",),
        ),
        ended(prompt, "cancelled"),
        given_back(prompt, user),
    ]


def cancelled_in_queue(prompt: str, user: str = USER, *, number: int = 1) -> list[Event]:
    return [
        *accepted(prompt, user, number=number),
        CancelRequested(prompt_id=prompt, by=user),
        ended(prompt, "cancelled", attempt=0),
        given_back(prompt, user),
    ]


def retried(prompt: str, user: str = USER, *, number: int = 1) -> list[Event]:
    """A worker fell silent after it had made its picture; a zombie's news comes late."""
    return [
        *accepted(prompt, user, number=number),
        leased(prompt),
        started(prompt),
        made(prompt),
        released(prompt),
        LeaseExpired(prompt_id=prompt, worker_id="worker-1", attempt=1, cause="silent"),
        failed(prompt),
        leased(prompt, 2),
        finished(prompt, 1),
        *success_of_attempt(prompt, user, 2),
    ]


def blocked(prompt: str, user: str = USER, *, number: int = 1) -> list[Event]:
    return [
        *accepted(prompt, user, number=number),
        leased(prompt),
        started(prompt),
        made(prompt),
        finished(prompt),
        output_blocked(prompt),
        ended(prompt, "blocked", reason="nudity"),
        given_back(prompt, user),
    ]


def rejected(prompt: str, user: str = USER, **_: object) -> list[Event]:
    return [
        submitted(prompt, user),
        PromptRejected(prompt_id=prompt, status=400, code="prompt_no_outputs", detail=DETAIL),
        RunRefused(
            prompt_id=prompt, status=400, code="prompt_no_outputs", message="Prompt has no outputs"
        ),
    ]


def text_blocked(prompt: str, user: str = USER, **_: object) -> list[Event]:
    return [
        *accepted(prompt, user)[:2],
        PromptBlocked(prompt_id=prompt, category="violence", policy="1"),
        accepted(prompt, user)[3],
        RunRefused(prompt_id=prompt, status=403, code="blocked", message="not allowed"),
        given_back(prompt, user),
    ]


def broke(prompt: str, user: str = USER, **_: object) -> list[Event]:
    return [
        *accepted(prompt, user)[:3],
        CreditsRefused(account=user, prompt_id=prompt, reason="balance", needed=PRICE, available=1),
        RunRefused(prompt_id=prompt, status=402, code="balance", message="too little money"),
        given_back(prompt, user, amount=0),
    ]


def withdrawn(prompt: str, user: str = USER, **_: object) -> list[Event]:
    return [
        submitted(prompt, user),
        PromptWithdrawn(prompt_id=prompt, reason="no answer in time"),
        RunRefused(prompt_id=prompt, status=503, code="withdrawn", message="withdrawn"),
    ]


def removed(prompt: str, user: str = USER, *, number: int = 1) -> list[Event]:
    return [*success(prompt, user, number=number), HistoryRemoved(prompt_id=prompt, by=user)]


def unfinished(prompt: str, user: str = USER, *, number: int = 1) -> list[Event]:
    return [*accepted(prompt, user, number=number), leased(prompt), started(prompt)]


LIVES = (
    success,
    failure,
    interrupted,
    cancelled_in_queue,
    retried,
    blocked,
    rejected,
    text_blocked,
    broke,
    withdrawn,
    removed,
    unfinished,
)


def a_worker(slot: str = "gpu-0", worker_id: str = "worker-1") -> list[Event]:
    return [
        WorkerRegistered(
            worker_id=worker_id, slot=slot, device="H200", backend="torch", vram_mib=143_000
        ),
        WeightsListed(
            worker_id=worker_id,
            slot=slot,
            weights={
                "checkpoints": (WeightsFile(name="demo.safetensors", size_bytes=9, modified_ms=1),)
            },
        ),
    ]


def worker_stopped(slot: str = "gpu-0", worker_id: str = "worker-1") -> WorkerStopped:
    return WorkerStopped(worker_id=worker_id, slot=slot, reason="drained")
