"""Everybody but gateway and recorder, by their events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.artifacts.keys import output_key, quarantine_key
from libs.artifacts.memory import MemoryArtifacts
from libs.bus.memory import MemoryBus
from libs.core.jsonvalue import Json
from libs.events.base import SYSTEM_TENANT, Event, subject_of
from libs.events.envelope import Cause, Recorded
from libs.events.execution import (
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
    ExecutionStarted,
    NodeFinished,
    Output,
)
from libs.events.moderation import OutputBlocked, OutputReleased
from libs.events.prompt import PromptSubmitted
from libs.events.run import LeaseGranted, Outcome, RunEnded, RunQueued, RunRefused
from libs.events.signals import Progress, progress_subject
from libs.events.verdict import PromptRejected, PromptValidated, WorkEstimate
from libs.events.worker import WeightsFile, WeightsListed, WorkerRegistered
from libs.sealed.vault import MemoryVault


@dataclass(kw_only=True)
class Others:
    """Validator, scheduler, worker and moderation, scripted by the test."""

    bus: MemoryBus
    artifacts: MemoryArtifacts
    vault: MemoryVault
    read_from: Callable[[], int]
    number: int = 0
    orders: dict[str, int] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def append(self, event: Event, tenant: str = "local") -> Recorded[Event]:
        """Write an event as its owner would."""
        loaded = await self.bus.journal.load(subject_of(tenant, event))
        written = await self.bus.journal.append(tenant, [event], loaded.last_seq, Cause())
        return written[0]

    async def submitted(self, prompt_id: str | None = None) -> Recorded[Any]:
        """Wait for a submission and return it; on the bus in memory only."""
        for _ in range(400):
            for recorded in self.bus.recorded():
                event = recorded.event
                if isinstance(event, PromptSubmitted) and prompt_id in (None, event.prompt_id):
                    return recorded
            await asyncio.sleep(0.005)
        raise AssertionError("nothing was submitted")

    async def accept(self, prompt_id: str, tenant: str = "local", node_errors: Json = None) -> None:
        """Let validator and scheduler say yes."""
        sealed = await self.vault.seal(tenant, "any", node_errors) if node_errors else None
        await self.append(
            PromptValidated(
                prompt_id=prompt_id,
                account="local",
                tier="enterprise",
                outputs=("3",),
                nodes=3,
                estimate=WorkEstimate(megapixel_steps=1, images=1, steps=1),
                node_errors=sealed,
            ),
            tenant,
        )
        self.number += 1
        queued = RunQueued(
            prompt_id=prompt_id, number=self.number, tier="enterprise", account="local"
        )
        await self.append(queued, tenant)

    async def reject(self, prompt_id: str, detail: Json, status: int = 400) -> None:
        """Let validator and scheduler say no."""
        sealed = await self.vault.seal("local", "any", detail)
        code = "prompt_outputs_failed_validation"
        await self.append(
            PromptRejected(prompt_id=prompt_id, status=status, code=code, detail=sealed)
        )
        await self.refuse(prompt_id, status, code)

    async def refuse(
        self, prompt_id: str, status: int, code: str, retry_after_seconds: int | None = None
    ) -> None:
        """Let the scheduler say no."""
        await self.append(
            RunRefused(
                prompt_id=prompt_id,
                status=status,
                code=code,
                message=f"refused: {code}",
                retry_after_seconds=retry_after_seconds,
            )
        )

    def accept_all(self) -> None:
        """Accept every submission from now on."""
        self.react(PromptSubmitted, lambda r: self.accept(r.event.prompt_id, r.tenant))

    def react(self, kind: type[Event], handler: Callable[[Recorded[Any]], Awaitable[Any]]) -> None:
        """Run `handler` for each event of one class, from what the gateway has not read on."""
        start = self.read_from()

        async def follow() -> None:
            async for batch in self.bus.feed(start_seq=start):
                for recorded in batch.events:
                    if isinstance(recorded.event, kind):
                        await handler(recorded)

        self.tasks.append(asyncio.create_task(follow()))

    async def lease(self, prompt_id: str, attempt: int = 1, tenant: str = "local") -> None:
        """Give the run to a worker."""
        self.orders[prompt_id] = 0
        await self.append(
            LeaseGranted(
                prompt_id=prompt_id,
                worker_id="ada",
                attempt=attempt,
                expires_at=datetime.now(UTC) + timedelta(seconds=30),
            ),
            tenant,
        )

    def order(self, prompt_id: str) -> int:
        """Return the next place in the attempt."""
        self.orders[prompt_id] = self.orders.get(prompt_id, 0) + 1
        return self.orders[prompt_id]

    async def start(
        self, prompt_id: str, cached: tuple[str, ...] = (), tenant: str = "local"
    ) -> None:
        """Let the worker begin."""
        await self.append(
            ExecutionStarted(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                cached=cached,
            ),
            tenant,
        )

    async def step(
        self,
        prompt_id: str,
        node_id: str,
        state: str = "running",
        tenant: str = "local",
        **more: Any,
    ) -> None:
        """Send a signal of the worker."""
        progress = Progress(
            prompt_id=prompt_id,
            attempt=1,
            order=self.order(prompt_id),
            node_id=node_id,
            state=state,
            **more,
        )
        data = progress.model_dump_json().encode()
        await self.bus.signal(progress_subject(tenant, prompt_id), data)

    async def output(
        self, prompt_id: str, node_id: str = "3", index: int = 0, data: bytes = b"png", **more: Any
    ) -> Output:
        """Store a file in quarantine, as the worker does."""
        key = quarantine_key("local", prompt_id, 1, 9, index)
        info = await self.artifacts.put(key, data, more.get("mime", "image/png"))
        values: dict[str, Any] = {
            "index": index,
            "kind": "images",
            "filename": f"x_{node_id}_{index:05}_.png",
            "subfolder": "",
            "folder": "output",
            "artifact": key,
            "sha256": info.sha256,
            "mime": "image/png",
            "size_bytes": len(data),
        }
        return Output(**{**values, **more})

    async def node_done(
        self,
        prompt_id: str,
        *outputs: Output,
        node_id: str = "3",
        node_type: str = "SaveImage",
        ui: Json = None,
        tenant: str = "local",
    ) -> None:
        """Let an output node finish."""
        sealed = await self.vault.seal(tenant, "any", ui) if ui is not None else None
        await self.append(
            NodeFinished(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                node_id=node_id,
                node_type=node_type,
                outputs=outputs,
                ui=sealed,
            ),
            tenant,
        )

    async def release(
        self,
        prompt_id: str,
        output: Output,
        node_id: str = "3",
        tenant: str = "local",
        user: str = "local",
    ) -> str:
        """Let moderation release a file."""
        key = output_key(tenant, user, prompt_id, 1, f"9-{output.index}")
        await self.artifacts.copy(output.artifact, key)
        await self.append(
            OutputReleased(
                prompt_id=prompt_id,
                attempt=1,
                node_id=node_id,
                index=output.index,
                artifact=key,
                sha256=output.sha256,
            ),
            tenant,
        )
        return key

    async def block(self, prompt_id: str, output: Output, node_id: str = "3") -> None:
        """Let moderation block a file."""
        await self.append(
            OutputBlocked(
                prompt_id=prompt_id,
                attempt=1,
                node_id=node_id,
                index=output.index,
                category="nudity",
            )
        )

    async def finished(self, prompt_id: str, outputs: int = 1, tenant: str = "local") -> None:
        """Let the worker be done."""
        await self.append(
            ExecutionFinished(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                compute_ms=12,
                outputs=outputs,
                executed=("1", "2", "3"),
            ),
            tenant,
        )

    async def failed(self, prompt_id: str) -> None:
        """Let a node raise."""
        detail: Json = {
            "exception_message": "out of paint",
            "traceback": ["line 1\n"],
            "current_inputs": {"width": ["64"]},
        }
        await self.append(
            ExecutionFailed(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                node_id="2",
                node_type="EmptyImage",
                exception_type="PaintError",
                detail=await self.vault.seal("local", "any", detail),
                executed=("1",),
            )
        )

    async def interrupted(self, prompt_id: str) -> None:
        """Let the worker stop because it was told to."""
        await self.append(
            ExecutionInterrupted(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                node_id="2",
                node_type="EmptyImage",
                executed=("1",),
            )
        )

    async def end(
        self,
        prompt_id: str,
        outcome: Outcome = "succeeded",
        attempt: int = 1,
        tenant: str = "local",
    ) -> None:
        """Let the scheduler end the run."""
        await self.append(
            RunEnded(prompt_id=prompt_id, outcome=outcome, attempt=attempt, reason=""), tenant
        )

    async def run(self, prompt_id: str, data: bytes = b"png", **more: Any) -> Output:
        """Execute a prompt from lease to end, with one output."""
        await self.lease(prompt_id)
        await self.start(prompt_id)
        await self.step(prompt_id, "2", announces=True)
        await self.step(prompt_id, "2", "finished", value=1)
        output = await self.output(prompt_id, data=data, **more)
        await self.step(prompt_id, "3", announces=True)
        await self.node_done(prompt_id, output)
        await self.release(prompt_id, output)
        await self.step(prompt_id, "3", "finished", value=1)
        await self.finished(prompt_id)
        await self.end(prompt_id)
        return output

    async def register_worker(self, *checkpoints: str) -> None:
        """Let a worker say which model files it has."""
        files = tuple(WeightsFile(name=name, size_bytes=1, modified_ms=1) for name in checkpoints)
        await self.append(
            WorkerRegistered(worker_id="ada", slot="a", device="cpu", backend="torch", vram_mib=1),
            SYSTEM_TENANT,
        )
        await self.append(
            WeightsListed(worker_id="ada", slot="a", weights={"checkpoints": files}), SYSTEM_TENANT
        )
