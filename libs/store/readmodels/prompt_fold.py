"""How a prompt's row follows from its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from libs.events.base import Event, PromptScoped, Sealed
from libs.events.envelope import Recorded
from libs.events.execution import (
    ExecutionEvent,
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
    ExecutionStarted,
    NodeFinished,
)
from libs.events.ledger import CreditsCaptured, CreditsHeld, CreditsReleased, PromptMoney
from libs.events.moderation import OutputBlocked, OutputReleased, PromptBlocked, PromptCleared
from libs.events.prompt import (
    CancelRequested,
    HistoryRemoved,
    PromptEvent,
    PromptSubmitted,
    PromptWithdrawn,
)
from libs.events.run import LeaseExpired, LeaseGranted, RunEnded, RunEvent, RunQueued, RunRefused
from libs.events.verdict import PromptRejected, PromptValidated
from libs.store.fold import Fold, Key, replace
from libs.store.readmodels.prompts import PROMPTS, Message, PromptRow

# Stands in for the workflow of a row that is loaded to be folded; no event changes it.
NOT_LOADED: Final = Sealed(kid="")


def touch(recorded: Recorded[Event]) -> Iterable[Key]:
    """Return the prompt that an event is about."""
    event = recorded.event
    if isinstance(event, PromptScoped | PromptMoney) and not isinstance(event, OutputReleased):
        yield (recorded.tenant, event.prompt_id)


def evolve(row: PromptRow | None, _key: Key, recorded: Recorded[Event]) -> PromptRow | None:
    """Return the prompt's row after one more event of its story."""
    event = recorded.event
    if row is not None:
        return _next(row, recorded, event)
    return _submitted(recorded, event) if isinstance(event, PromptSubmitted) else None


def _next(row: PromptRow, recorded: Recorded[Event], event: Event) -> PromptRow:
    match event:
        case PromptEvent():
            return _prompt(row, event)
        case RunEvent():
            return _run(row, recorded, event)
        case ExecutionEvent():
            # News of an attempt that lost its lease is nobody's business.
            if row.state != "running" or event.attempt != row.attempt:
                return row
            return _execution(row, recorded, event)
        case PromptMoney():
            return _money(row, event)
        case _:
            return _judged(row, event)


def _submitted(recorded: Recorded[Event], event: PromptSubmitted) -> PromptRow:
    return PromptRow(
        tenant=recorded.tenant,
        prompt_id=event.prompt_id,
        user_id=event.user_id,
        account=event.account,
        tier=event.tier,
        client_id=event.client_id,
        dialect=event.dialect,
        source=event.source,
        keyed=event.keyed,
        body_mac=event.body_mac,
        front=event.front,
        priority=event.priority,
        preview_method=event.preview_method,
        workflow_id=event.workflow_id,
        workflow=event.workflow,
        state="submitted",
        submitted_at=recorded.time,
        first_seq=recorded.seq,
        last_seq=recorded.seq,
    )


def _prompt(row: PromptRow, event: PromptEvent) -> PromptRow:
    match event:
        case PromptWithdrawn() if row.state == "submitted":
            return replace(row, state="withdrawn", reason=event.reason)
        case CancelRequested():
            return replace(row, cancel_requested=True)
        case HistoryRemoved():
            return replace(row, hidden=True)
        case _:
            return row


def _run(row: PromptRow, recorded: Recorded[Event], event: RunEvent) -> PromptRow:
    match event:
        case RunQueued():
            return replace(row, state="queued", number=event.number, queued_at=recorded.time)
        case RunRefused():
            return replace(
                row,
                state="refused",
                ended_at=recorded.time,
                refusal_status=event.status,
                refusal_code=event.code,
                refusal_message=event.message,
                retry_after_seconds=event.retry_after_seconds,
            )
        case LeaseGranted():
            return _leased(row, recorded, event)
        case LeaseExpired() if event.attempt == row.attempt:
            return replace(
                row, state="queued", started_at=None, worker_id=None, lease_expires_at=None
            )
        case RunEnded():
            return _ended(row, recorded, event)
        case _:
            return row


def _leased(row: PromptRow, recorded: Recorded[Event], event: LeaseGranted) -> PromptRow:
    """Begin an attempt with a clean sheet: nothing that another one said may show."""
    return replace(
        row,
        state="running",
        attempt=event.attempt,
        worker_id=event.worker_id,
        lease_expires_at=event.expires_at,
        started_at=recorded.time,
        failure=None,
        failed_node_id=None,
        failed_node_type=None,
        exception_type=None,
        executed=(),
        cached=(),
        node_ui={},
        places={},
        labels=(),
        compute_ms=None,
        peak_vram_mib=None,
        fingerprint={},
        messages=(),
    )


def _ended(row: PromptRow, recorded: Recorded[Event], event: RunEnded) -> PromptRow:
    if row.state == "ended":
        return row
    return replace(
        row,
        state="ended",
        outcome=event.outcome,
        attempt=event.attempt,
        reason=event.reason,
        ended_at=recorded.time,
        ended_seq=recorded.seq,
        lease_expires_at=None,
        messages=(*row.messages, *_last_words(row, recorded, event)),
    )


def _last_words(row: PromptRow, recorded: Recorded[Event], event: RunEnded) -> Iterable[Message]:
    said = {message.event for message in row.messages}
    if event.outcome == "succeeded":
        yield Message("execution_success", recorded.time)
    elif event.outcome == "cancelled":
        if "execution_interrupted" not in said:
            yield Message("execution_interrupted", recorded.time, nodes=row.executed)
    elif "execution_error" not in said:
        yield Message(
            "execution_error",
            recorded.time,
            node_id=row.failed_node_id or "",
            exception_type="OutputBlocked" if event.outcome == "blocked" else event.outcome,
            reason=event.reason,
            nodes=row.executed,
        )


def _execution(row: PromptRow, recorded: Recorded[Event], event: ExecutionEvent) -> PromptRow:
    match event:
        case ExecutionStarted():
            started = Message("execution_start", recorded.time)
            cached = Message("execution_cached", recorded.time, nodes=event.cached)
            return replace(row, cached=event.cached, messages=(started, cached))
        case NodeFinished():
            return _shown(row, event)
        case ExecutionFinished():
            return replace(
                row,
                executed=event.executed,
                compute_ms=event.compute_ms,
                peak_vram_mib=event.peak_vram_mib,
                fingerprint=event.fingerprint,
            )
        case ExecutionFailed():
            return _failed(row, recorded, event)
        case ExecutionInterrupted():
            return _interrupted(row, recorded, event)
    return row


def _shown(row: PromptRow, event: NodeFinished) -> PromptRow:
    if event.parent_node:
        place = (event.display_node, event.parent_node, event.real_node)
        row = replace(row, places={**row.places, event.node_id: place})
    if event.ui is not None:
        row = replace(row, node_ui={**row.node_ui, event.node_id: event.ui})
    return row


def _interrupted(
    row: PromptRow, recorded: Recorded[Event], event: ExecutionInterrupted
) -> PromptRow:
    message = Message(
        "execution_interrupted",
        recorded.time,
        node_id=event.node_id,
        node_type=event.node_type,
        nodes=event.executed,
    )
    return replace(
        row,
        executed=event.executed,
        compute_ms=event.compute_ms,
        messages=(*row.messages, message),
    )


def _failed(row: PromptRow, recorded: Recorded[Event], event: ExecutionFailed) -> PromptRow:
    message = Message(
        "execution_error",
        recorded.time,
        node_id=event.node_id,
        node_type=event.node_type,
        exception_type=event.exception_type,
        nodes=event.executed,
    )
    return replace(
        row,
        failure=event.detail,
        failed_node_id=event.node_id,
        failed_node_type=event.node_type,
        exception_type=event.exception_type,
        executed=event.executed,
        compute_ms=event.compute_ms,
        messages=(*row.messages, message),
    )


def _money(row: PromptRow, event: PromptMoney) -> PromptRow:
    match event:
        case CreditsHeld():
            return replace(row, held_micros=event.amount)
        case CreditsCaptured():
            return replace(row, captured_micros=event.amount)
        case CreditsReleased():
            return replace(row, captured_micros=0)
        case _:
            return row


def _judged(row: PromptRow, event: Event) -> PromptRow:
    """Follow the validator and moderation."""
    match event:
        case PromptValidated():
            return replace(
                row,
                output_nodes=event.outputs,
                needs=event.needs,
                vram_mib=event.vram_mib,
                estimate=event.estimate,
                node_errors=event.node_errors,
            )
        case PromptRejected():
            return replace(
                row,
                refusal_status=event.status,
                refusal_code=event.code,
                refusal_detail=event.detail,
            )
        case PromptCleared():
            return replace(row, clearance="cleared")
        case PromptBlocked():
            return replace(row, clearance="blocked", labels=(event.category,))
        case OutputBlocked() if event.attempt == row.attempt:
            return replace(
                row,
                labels=tuple(sorted({*row.labels, event.category})),
                failed_node_id=row.failed_node_id or event.node_id,
            )
        case _:
            return row


PROMPT_FOLD: Final = Fold(
    table=PROMPTS, row=PromptRow, touch=touch, evolve=evolve, once={"workflow": NOT_LOADED}
)
