"""Taking a submission in: seal, append, wait for the run's first event, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from libs.bus.identity import new_prompt_id, prompt_id_of
from libs.core.errors import Refused, Unavailable
from libs.core.jsonvalue import Json, JsonObject
from libs.decider import Journal, transact
from libs.events.base import Sealed, subject
from libs.events.envelope import Cause
from libs.events.prompt import PromptEvent, PromptSubmitted
from libs.events.run import RunEvent, RunQueued, RunRefused
from libs.events.verdict import PromptRejected, PromptValidated, VerdictEvent
from libs.graph.refusal import GraphRefused, problem
from libs.graph.render import canonical
from libs.sealed.base import Vault
from services.gateway import metrics
from services.gateway.answers import Accepted, Answer, Declined
from services.gateway.archive import Archive
from services.gateway.auth import Principal
from services.gateway.domain import prompt as prompts
from services.gateway.domain.prompt import Prompt, Submit
from services.gateway.domain.submission import Submission
from services.gateway.errors import Busy
from services.gateway.live import Live
from services.gateway.settings import GatewaySettings
from services.gateway.withdrawal import Withdrawals

RETRY_AFTER_SECONDS = 2
ON_ITS_WAY_SECONDS = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Admission:
    """Every dependency is a field."""

    journal: Journal
    vault: Vault
    archive: Archive
    live: Live
    withdrawals: Withdrawals
    settings: GatewaySettings
    now: Callable[[], datetime]

    async def submit(
        self, who: Principal, submission: Submission, idempotency_key: str
    ) -> JsonObject:
        """Return the body of the 200; raise what any other status is made from."""
        await self.live.caught_up(self.settings.admission_wait_seconds)
        prompt_id = submission.prompt_id or (
            prompt_id_of(who.tenant, f"{who.user_id}\n{idempotency_key}")
            if idempotency_key
            else new_prompt_id()
        )
        keyed = bool(submission.prompt_id or idempotency_key)
        event = await self._event(who, submission, prompt_id, keyed=keyed)
        with metrics.ADMISSION.time():
            answer = await self._answer(who, event)
        if answer is None:
            raise await self._give_up(who, event)
        return await self._body(who, answer)

    async def _event(
        self, who: Principal, submission: Submission, prompt_id: str, *, keyed: bool
    ) -> PromptSubmitted:
        self._require_room(who.tenant)
        now = self.now()
        created_ms = int(now.timestamp() * 1000)
        body_mac = await self.vault.mac(who.tenant, who.user_id, canonical(submission.body))
        workflow = submission.workflow(created_ms)
        bound = timedelta(seconds=self.settings.admission_wait_seconds)
        return PromptSubmitted(
            prompt_id=prompt_id,
            user_id=who.user_id,
            account=who.account,
            tier=who.tier,
            client_id=submission.client_id,
            dialect=submission.dialect,
            workflow=await self.vault.seal(who.tenant, who.user_id, workflow),
            body_mac=body_mac,
            keyed=keyed,
            answer_by=None if keyed else now + bound,
            front=submission.front,
            priority=submission.priority,
            preview_method=submission.preview_method,
            workflow_id=submission.workflow_id,
        )

    def _require_room(self, tenant: str) -> None:
        if self.live.queue.depth(tenant) >= self.settings.queue_depth_max:
            raise Refused(
                "The queue is full",
                kind="queue_full",
                status=429,
                limit=self.settings.queue_depth_max,
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    async def _answer(self, who: Principal, event: PromptSubmitted) -> Answer | None:
        try:
            return await self._append_and_wait(who, event)
        except Unavailable:
            # Whether it was written is not known, and the caller cannot find out either.
            if not event.keyed:
                await self.withdrawals.withdraw(who.tenant, event.prompt_id)
            raise

    async def _append_and_wait(self, who: Principal, event: PromptSubmitted) -> Answer | None:
        key = (who.tenant, event.prompt_id)

        async def cold(_subject: str) -> tuple[Prompt, int]:
            return await self._before(*key), 0

        try:
            async with asyncio.timeout(self.settings.admission_wait_seconds):
                written = await transact(
                    self.journal,
                    prompts,
                    subject(who.tenant, PromptEvent.kind, event.prompt_id),
                    Submit(event),
                    Cause(correlation_id=event.prompt_id),
                    cold=cold if event.keyed else None,
                    fresh=not event.keyed,
                )
        except (Unavailable, TimeoutError) as error:
            log.warning("not_taken_in", prompt_id=event.prompt_id, error=repr(error))
            raise Busy(
                "No prompt can be taken in now; nothing is charged. Send it again later",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            ) from error
        if not written and (before := await self._answer_before(who, event.prompt_id)):
            return before
        return await self.live.answers.wait(key, self._patience_seconds(event))

    def _patience_seconds(self, event: PromptSubmitted) -> float:
        """Return how long an answer is waited for; a last one may be on its way at the bound."""
        if event.answer_by is None:
            return self.settings.admission_wait_seconds
        left = (event.answer_by - self.now()).total_seconds()
        return max(left, 0.0) + ON_ITS_WAY_SECONDS

    async def _before(self, tenant: str, prompt_id: str) -> Prompt:
        """Return what the archive knows of an id, as far as it can be asked now.

        The journal knows every id of the last days by itself, and billing holds no price twice:
        so while PostgreSQL is down a keyed submission is taken in like any other.
        """
        try:
            return await self.archive.submitted_before(tenant, prompt_id)
        except Unavailable as error:
            log.warning("archive_not_asked", prompt_id=prompt_id, error=error.message)
            return Prompt()

    async def _answer_before(self, who: Principal, prompt_id: str) -> Answer | None:
        """Return what was answered to the same submission, however long ago."""
        if answer := self.live.answers.known((who.tenant, prompt_id)):
            return answer
        run = await self.journal.load(subject(who.tenant, RunEvent.kind, prompt_id))
        verdict = await self.journal.load(subject(who.tenant, VerdictEvent.kind, prompt_id))
        first = run.events[0].event if run.events else None
        said = verdict.events[0].event if verdict.events else None
        match first:
            case RunQueued():
                errors = said.node_errors if isinstance(said, PromptValidated) else None
                return Accepted(prompt_id, 0, errors)
            case RunRefused():
                return Declined(first, said if isinstance(said, PromptRejected) else None)
        row = await self.archive.prompt(who.owner, prompt_id)
        if row is not None and row.number is not None:
            return Accepted(prompt_id, 0, row.node_errors)
        return None

    async def _give_up(self, who: Principal, event: PromptSubmitted) -> Busy:
        """Take a submission back that nobody can ask for again."""
        if event.keyed:
            return Busy(
                "The prompt is still being checked; send it again to learn what became of it",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        await self.withdrawals.withdraw(who.tenant, event.prompt_id)
        return Busy(
            "The prompt could not be checked in time; it is withdrawn and nothing is charged",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )

    async def _body(self, who: Principal, answer: Answer) -> JsonObject:
        if isinstance(answer, Declined):
            raise await self._refusal(who, answer.refused, answer.rejected)
        return {
            "prompt_id": answer.prompt_id,
            "number": answer.position,
            "node_errors": await self._opened(who, answer.node_errors),
        }

    async def _refusal(
        self, who: Principal, refused: RunRefused, rejected: PromptRejected | None
    ) -> Refused | Unavailable:
        if rejected is not None:
            detail = await self._opened(who, rejected.detail)
            error, node_errors = detail.get("error"), detail.get("node_errors")
            if not isinstance(error, dict):
                error = problem(refused.code, refused.message, "")
            errors = node_errors if isinstance(node_errors, dict) else {}
            return GraphRefused(error, errors, status=refused.status)
        if refused.status >= Unavailable.http_status:
            return Busy(refused.message, retry_after_seconds=RETRY_AFTER_SECONDS)
        facts: dict[str, object] = {"prompt_id": refused.prompt_id}
        if refused.retry_after_seconds is not None:
            facts["retry_after_seconds"] = refused.retry_after_seconds
        return Refused(refused.message, kind=refused.code, status=refused.status, **facts)

    async def _opened(self, who: Principal, sealed: Sealed | None) -> dict[str, Json]:
        value = await self.vault.open(who.tenant, sealed) if sealed else {}
        return value if isinstance(value, dict) else {}
