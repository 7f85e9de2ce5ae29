"""One lease, from the sealed workflow to the last event: the engine computes, this delivers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

import structlog

from libs.core.errors import NotFound, Refused, StudioError, Unavailable
from libs.core.jsonvalue import Json, JsonObject
from libs.core.profiles import EXACT
from libs.events.base import Sealed
from libs.events.execution import (
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
    ExecutionStarted,
    NodeBlocked,
    NodeFinished,
    Output,
)
from libs.events.prompt import PromptSubmitted
from libs.events.verdict import PromptValidated
from libs.sealed.base import Vault
from libs.telemetry import tracing
from libs.weights.folder import Inventory
from services.gpu_worker.child import DIED, ENDINGS, EngineChild, Line
from services.gpu_worker.company import profile_of
from services.gpu_worker.domain.shown import PLACE, placed, taken_apart
from services.gpu_worker.files import Files
from services.gpu_worker.frames import Frame, number, output_file
from services.gpu_worker.outlet import LeaseLost, Outlet
from services.gpu_worker.spans import Stopwatch, record_parts

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 0.5
ENGINE_CRASHED: Final = "EngineCrashed"


@dataclass
class Job:
    """What is needed for one attempt; `ended` says that the engine has nothing more to tell.

    `wish` is the profile that it is executed in, empty until the workflow was opened; `computed`
    says that only files are still being made. `moved` is called when one of the two changes.
    """

    outlet: Outlet
    files: Files
    engine: EngineChild
    vault: Vault
    submitted: PromptSubmitted
    validated: PromptValidated
    inventory: Inventory
    stop_seconds: float
    previews: bool = False
    profile: str = EXACT
    moved: Callable[[], None] = lambda: None
    wish: str = ""
    computed: bool = False
    stopping: bool = False
    ended: bool = False
    outcome: str = "abandoned"
    outputs: int = 0
    warm: tuple[str, ...] = ()
    _at: tuple[str, str] = ("", "")
    # An engine that dies takes its own measurements along; then what was heard of it is told.
    _heard: Stopwatch = field(default_factory=Stopwatch)
    _killer: asyncio.Task[None] | None = None
    _line: Line | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the weights that the job uses, as `folder/name`."""
        return tuple(f"{need.folder}/{need.name}" for need in self.validated.needs)

    @property
    def vram_mib(self) -> int:
        """Return how much memory the weights of the job take."""
        return self.validated.vram_mib

    async def run(self) -> None:
        """Execute and deliver; returns early when the lease is lost."""
        try:
            workflow = await self._workflow()
            if workflow is not None:
                await self._begin(self._frame(workflow))
                await self._deliver()
        except LeaseLost as lost:
            log.warning("abandoned", prompt_id=self.outlet.prompt_id, reason=lost.message)
            await self._drop()
        finally:
            if self._killer is not None:
                self._killer.cancel()
            await self.files.abandon()

    async def stop(self) -> None:
        """Let the engine stop between two steps; it is killed if it does not."""
        if self.stopping or self.ended:
            return
        self.stopping = True
        if self._line is not None:
            await self._stop_engine(self._line)

    async def abandon(self) -> None:
        """Stop, and let nothing of the attempt out any more."""
        self.outlet.lost = True
        await self.stop()

    async def give_up(self, error: Exception) -> None:
        """Fail the attempt because of what went wrong on our side."""
        await self._drop()
        kind = type(error).__name__
        self.outlet.lost = False
        said = _said(f"The worker could not deliver the run ({kind})")
        await self._fail({"exception_type": kind, "retryable": True, "detail": said})

    async def _workflow(self) -> JsonObject | None:
        """Open the workflow; a workflow that cannot be opened any more fails the attempt."""
        while True:
            try:
                opened = await self.vault.open(self.outlet.tenant, self.submitted.workflow)
                return cast("JsonObject", opened)
            except Unavailable as error:
                log.warning("workflow_not_there_yet", error=error.message)
                await asyncio.sleep(RETRY_SECONDS)
                await self.outlet.require()
            except StudioError as error:
                await self._fail({"exception_type": error.code, "detail": _said(error.message)})
                return None

    async def _begin(self, frame: Frame) -> None:
        """Hand the job to the engine; one that was stopped until then is stopped at once."""
        self._line = await self.engine.begin(frame)
        if self.stopping:
            await self._stop_engine(self._line)

    async def _stop_engine(self, line: Line) -> None:
        if self._killer is None:
            self._killer = asyncio.create_task(self._kill_late(line))
        facts: JsonObject = {"prompt_id": self.outlet.prompt_id, "attempt": self.outlet.attempt}
        await self.engine.send(Frame("stop", facts))

    def _frame(self, workflow: JsonObject) -> Frame:
        self._heard.on = tracing.recording(tracing.current())
        extra = workflow.get("extra_data")
        self.wish = profile_of(extra, self.profile)
        self.moved()
        pnginfo = extra.get("extra_pnginfo") if isinstance(extra, dict) else None
        weights: JsonObject = {
            folder: {name: [str(file.path), file.content] for name, file in files.items()}
            for folder, files in self.inventory.items()
        }
        return Frame(
            "job",
            {
                "prompt_id": self.outlet.prompt_id,
                "attempt": self.outlet.attempt,
                "document": workflow.get("prompt"),
                "dialect": self.submitted.dialect,
                "outputs": list(self.validated.outputs),
                "extra_pnginfo": pnginfo if isinstance(pnginfo, dict) else {},
                "weights": weights,
                "scope": f"{self.outlet.tenant}/{self.submitted.user_id}",
                "traced": self._heard.on,
                "previews": self.previews,
                "preview_method": self.submitted.preview_method or "",
                "profile": self.wish,
            },
        )

    async def _deliver(self) -> None:
        """Pass on what the engine tells, until it has told how it ended."""
        while (frame := await self._next()) is not None:
            match frame.kind:
                case "started":
                    await self._started(frame.facts)
                case "progress":
                    await self._progress(frame.facts)
                case "preview":
                    await self.outlet.preview(placed(frame.facts), frame.blobs[0])
                case "shown":
                    await self._shown(frame.facts)
                case "blocked":
                    await self._blocked(frame.facts)
                case "save" | "read_input" | "digest" | "known_results" | "fetch_result":
                    await self._answer(frame)
                case "keep_result" | "computed":
                    self._note(frame)
                case "finished":
                    await self._finished(frame.facts)
                case "failed":
                    await self._fail(frame.facts)
                case "interrupted":
                    await self._interrupted(frame.facts)
                case _:
                    await self._died(frame.facts)

    async def _next(self) -> Frame | None:
        """Return the engine's next word about this attempt; None if it has no more to say."""
        if self._line is None or self.ended:
            return None
        frame = await self._line.next()
        self.ended = frame.kind in ENDINGS
        if self.ended:
            self.outcome = frame.kind
            parts = frame.facts.pop("parts", None)
            if frame.kind == DIED:
                parts = cast("Json", self._heard.told(ENGINE_CRASHED))
            record_parts(parts, self._marks())
        return frame

    async def _drop(self) -> None:
        """Wait until the engine is free again, whatever it still has to tell."""
        await self.abandon()
        while (frame := await self._next()) is not None:
            if "call" in frame.facts:
                await self._refuse(frame, "interrupted", "the run was stopped")

    async def _started(self, facts: JsonObject) -> None:
        cached = tuple(cast("list[str]", facts["cached"]))
        await self.outlet.write(lambda order: ExecutionStarted(**self._head(order), cached=cached))

    async def _progress(self, facts: JsonObject) -> None:
        node_id = str(facts["node_id"])
        if facts.get("announces"):
            node_type = str(facts["node_type"])
            self._at = (node_id, node_type)
            self._heard.end()
            self._heard.begin(f"node {node_type}", node_id=node_id, node_type=node_type)
        known = ("value", "total", "announces", *PLACE)
        more = {name: facts[name] for name in known if name in facts}
        await self.outlet.signal(node_id, str(facts["state"]), **more)

    async def _shown(self, facts: JsonObject) -> None:
        ui = facts.get("ui")
        node_id, node_type = str(facts["node_id"]), str(facts["node_type"])
        if not isinstance(ui, dict):
            return
        made = await self.files.of_node(node_id)
        files, rest = taken_apart(ui, frozenset(made))
        outputs: tuple[Output, ...] = tuple(
            made[name].model_copy(update={"kind": kind}) for kind, name in files
        )
        sealed = await self._seal(rest) if rest else None
        await self.outlet.write(
            lambda order: NodeFinished(
                **self._head(order),
                node_id=node_id,
                node_type=node_type,
                outputs=outputs,
                ui=sealed,
                **placed(facts, "node_id"),
            )
        )
        self.outputs += len(outputs)

    async def _blocked(self, facts: JsonObject) -> None:
        detail = await self._seal(facts.get("detail"))
        await self.outlet.write(
            lambda order: NodeBlocked(
                **self._head(order),
                node_id=str(facts["node_id"]),
                node_type=str(facts["node_type"]),
                exception_type=str(facts["exception_type"]),
                detail=detail,
                executed=_ids(facts),
            )
        )

    def _note(self, frame: Frame) -> None:
        """Take in what needs no answer."""
        if frame.kind == "computed":
            self.computed = True
            self.moved()
        else:
            self.files.results.keep(str(frame.facts["digest"]), frame.blobs[0])

    async def _answer(self, frame: Frame) -> None:
        try:
            facts, blobs = await self._answered(frame)
        except LeaseLost as lost:
            await self._refuse(frame, "interrupted", lost.message)
            raise
        except Refused as error:
            told = {name: str(value) for name, value in error.facts.items()}
            code = "not_found" if isinstance(error, NotFound) else "refused"
            await self._refuse(frame, code, error.message, **told)
        else:
            await self._reply(frame, facts, *blobs)

    async def _answered(self, frame: Frame) -> tuple[JsonObject, tuple[bytes, ...]]:
        facts = frame.facts
        match frame.kind:
            case "read_input":
                return {}, (await self.files.read(str(facts["name"])),)
            case "digest":
                return {"digest": await self.files.digest(str(facts["name"]))}, ()
            case "known_results":
                known = await self.files.results.known(cast("list[str]", facts["digests"]))
                return {"known": cast("Json", known)}, ()
            case "fetch_result":
                found = await self.files.results.fetch(str(facts["digest"]))
                return {}, () if found is None else (found,)
        output = await self.files.save(str(facts["node_id"]), output_file(frame))
        return {"filename": output.filename, "subfolder": output.subfolder}, ()

    async def _refuse(self, frame: Frame, code: str, message: str, **facts: Json) -> None:
        await self._reply(frame, {"error": {"code": code, "message": message, "facts": facts}})

    async def _reply(self, frame: Frame, facts: JsonObject, *blobs: bytes) -> None:
        await self.engine.send(Frame("reply", {**facts, "call": frame.facts["call"]}, blobs))

    async def _finished(self, facts: JsonObject) -> None:
        fingerprint = cast("dict[str, str]", facts.get("fingerprint") or {})
        await self.outlet.write(
            lambda order: ExecutionFinished(
                **self._head(order),
                compute_ms=number(facts.get("compute_ms")),
                outputs=self.outputs,
                executed=_ids(facts),
                peak_vram_mib=number(facts.get("peak_vram_mib")),
                fingerprint=fingerprint,
            )
        )
        self.warm = self.needs

    async def _fail(self, facts: JsonObject) -> None:
        detail = await self._seal(facts.get("detail"))
        await self.outlet.write(
            lambda order: ExecutionFailed(
                **self._head(order),
                node_id=str(facts.get("node_id", "")),
                node_type=str(facts.get("node_type", "")),
                exception_type=str(facts.get("exception_type", "")),
                detail=detail,
                executed=_ids(facts),
                retryable=bool(facts.get("retryable")),
                compute_ms=number(facts.get("compute_ms")),
            )
        )

    async def _interrupted(self, facts: JsonObject) -> None:
        await self.outlet.write(
            lambda order: ExecutionInterrupted(
                **self._head(order),
                node_id=str(facts.get("node_id", "")),
                node_type=str(facts.get("node_type", "")),
                executed=_ids(facts),
                compute_ms=number(facts.get("compute_ms")),
            )
        )

    async def _died(self, facts: JsonObject) -> None:
        node_id, node_type = self._at
        place: JsonObject = {"node_id": node_id, "node_type": node_type}
        if self.stopping:
            await self._interrupted(place)
            return
        message = f"The engine ended with code {facts.get('exit_code')} and was started again"
        crash: JsonObject = {"exception_type": ENGINE_CRASHED, "retryable": True}
        await self._fail({**place, **crash, "detail": _said(message)})

    async def _seal(self, value: Json) -> Sealed:
        while True:
            try:
                return await self.vault.seal(self.outlet.tenant, self.submitted.user_id, value)
            except Unavailable as error:
                log.warning("cannot_seal_yet", error=error.message)
                await asyncio.sleep(RETRY_SECONDS)
                await self.outlet.require()

    async def _kill_late(self, line: Line) -> None:
        await asyncio.sleep(self.stop_seconds)
        if not self.ended:
            log.warning("engine_does_not_stop", prompt_id=self.outlet.prompt_id)
            await self.engine.kill_for(line)

    def _marks(self) -> dict[str, tracing.Value]:
        return {"attempt": self.outlet.attempt, "worker_id": self.outlet.worker_id}

    def _head(self, order: int) -> dict[str, object]:
        return {
            "prompt_id": self.outlet.prompt_id,
            "attempt": self.outlet.attempt,
            "worker_id": self.outlet.worker_id,
            "order": order,
        }


def _said(message: str) -> JsonObject:
    return {"exception_message": message, "traceback": [], "current_inputs": {}}


def _ids(facts: JsonObject) -> tuple[str, ...]:
    return tuple(cast("list[str]", facts.get("executed") or []))
