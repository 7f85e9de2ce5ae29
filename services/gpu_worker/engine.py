"""The engine child: `python -m services.gpu_worker.engine <fd>` executes what the agent sends.

It holds torch, so that a crash of torch is a crash of this process and of nothing else. Models
and results stay in memory between jobs.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final, TypeAlias, cast

from libs.core.jsonvalue import Json, JsonObject
from libs.core.profiles import EXACT
from libs.graph.growing import Place
from libs.graph.plan import Plan
from libs.graph.render import to_comfy
from libs.graph.value import Node
from libs.nodes.context import Interrupted, Loader
from libs.nodes.engines import PORTABLE, TORCH
from libs.nodes.registry import load
from libs.sampling.turns import Share
from libs.telemetry.logs import set_up_logs
from libs.telemetry.settings import TelemetrySettings
from services.gpu_worker.accounts import bounded, failure, refusal, stopped_at, told
from services.gpu_worker.backend import Backend, open_backend
from services.gpu_worker.calling import hidden_of
from services.gpu_worker.calls import Calls
from services.gpu_worker.context import EngineContext, Job
from services.gpu_worker.crew import Crew, Orders
from services.gpu_worker.digests import Digests, File
from services.gpu_worker.dying import die_with_parent, end_with_thread
from services.gpu_worker.executor import Executor
from services.gpu_worker.failing import NodeFailed
from services.gpu_worker.frames import FREE, Frame, Link, Mark, mark_of
from services.gpu_worker.importing import IMPORTING
from services.gpu_worker.packed import Packed, packed
from services.gpu_worker.planning import Prepared, prepared, said_of
from services.gpu_worker.portable import PortableBackend, open_portable
from services.gpu_worker.results import ResultMemory
from services.gpu_worker.sharing import Sharing, Task
from services.gpu_worker.spans import Stopwatch, Watching

# Small files are read before a run begins; it does not wait for large ones to know its results.
DIGEST_SECONDS: Final = 0.3
PREVIEW_SECONDS: Final = 0.25
MIB: Final = 1024 * 1024
# Lends or takes the right to compute, where jobs are executed beside each other.
Turn: TypeAlias = Callable[[], AbstractContextManager[None]]


class Engine:
    """One job after the other, each on a thread of its own; one more thread hears the agent.

    Jobs that need not repeat their bytes may be executed beside each other; one that must is
    begun when the others have computed all, and nothing is begun beside it. A job that has only
    files to make is in nobody's way.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.calls = Calls(link)
        self.digests = Digests()
        self.watching = Watching()
        self.crew = Crew()
        self.orders = Orders()
        self.sharing: Sharing | None = None
        self.packs_digest = ""

    def hear(self) -> None:
        """Read what the agent says; when it is gone there is nobody to work for."""
        while (frame := self.link.read()) is not None:
            if frame.kind in ("job", FREE):
                self.orders.put(frame)
            elif frame.kind == "reply":
                self.calls.answered(frame)
            elif frame.kind == "stop":
                self._stop(mark_of(frame.facts))
        os._exit(0)

    def _stop(self, mark: Mark) -> None:
        if self.orders.stop(mark):
            prompt_id, attempt = mark
            self.link.send("interrupted", {"prompt_id": prompt_id, "attempt": attempt})

    def serve(self, backend: Backend | PortableBackend, results_mib: int, shared_mib: int) -> None:
        """Say hello, then execute jobs for ever."""
        memory = ResultMemory(results_mib * MIB)
        if isinstance(backend, PortableBackend):
            packs = Packed(load())
        else:
            packs = packed(begins=lambda name: self.link.send(IMPORTING, {"pack": name}))
            # Of what is left until the hello, no pack is to blame.
            self.link.send(IMPORTING, {"pack": ""})
        self.packs_digest = packs.digest
        executor = Executor(packs.types, memory)
        self.link.send("hello", {**backend.hello(), **packs.facts}, *packs.blobs)
        # The rest of the engine takes seconds to import; a job may already wait for it.
        backend.loader.cache.watch(self.watching.loading)
        if shared_mib:
            self.sharing = Sharing(self.calls, memory, backend.codec, shared_mib * MIB)
        if backend.turns is not None:
            self.crew.size = backend.turns.runs_max
        while True:
            order = self.orders.next()
            job = None if order.kind == FREE else Job.of(order.facts)
            alone = job is None or job.profile == EXACT
            self.crew.wait(alone=alone)
            # Until here it could be stopped without having begun.
            if not self.orders.take(order):
                continue
            if job is None:
                self._free(memory, backend, order)
            else:
                work = partial(self._execute, executor, backend, job)
                self.crew.begin(work, alone=alone, scope=job.scope)

    def _free(self, memory: ResultMemory, backend: Backend | PortableBackend, wish: Frame) -> None:
        """Let go of networks and results that are kept for later; nothing is executed now."""
        if wish.facts.get("models"):
            backend.loader.cache.free()
        if wish.facts.get("results"):
            memory.free()
        self.orders.close(mark_of(wish.facts))
        self.link.send("room", backend.room())

    def _execute(self, executor: Executor, backend: Backend | PortableBackend, job: Job) -> None:
        self.watching.present = Stopwatch(on=job.traced)
        kind, facts = _Execution(self, executor, backend, job).outcome()
        self.orders.close((job.prompt_id, job.attempt))
        self.link.send(kind, {**facts, **_mark(job), **backend.room()})


class _Execution:
    """One job: hears the executor and tells the agent."""

    def __init__(
        self, engine: Engine, executor: Executor, backend: Backend | PortableBackend, job: Job
    ) -> None:
        self.engine = engine
        self.executor = executor
        self.backend = backend
        self.job = job
        self.watch = engine.watching.present
        self.executed: list[str] = []
        self.previewed_at = 0.0
        self.cached_ids: tuple[str, ...] = ()
        self.types: dict[str, str] = {}
        self.places: dict[str, JsonObject] = {}
        self.wrong: JsonObject = {}
        self.weights: dict[str, File] = {}
        self._ground: JsonObject | None = None
        self._place = engine.crew.place
        self._at = ""
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    def outcome(self) -> tuple[str, JsonObject]:
        """Execute, and return how it ended."""
        began = time.monotonic()
        try:
            share = self._execute()
            with self.watch.part("digest weights"):
                digests = self.engine.digests.of(self.weights)
            kind, facts = "finished", self._facts(digests)
            if share.together:
                cast("JsonObject", facts["fingerprint"])["batch"] = share.told()
        except Interrupted as stopped:
            kind, facts = "interrupted", stopped_at(stopped.facts)
        except NodeFailed as failed:
            kind, facts = "failed", failure(failed)
        except Exception as error:
            kind, facts = "failed", refusal(error)
        facts["executed"] = bounded(self.executed, self.places)
        parts = self.watch.told("" if kind == "finished" else kind)
        facts["parts"] = cast("Json", parts)
        facts["compute_ms"] = int((time.monotonic() - began) * 1000)
        return kind, facts

    def cached(self, node_ids: tuple[str, ...]) -> None:
        """Tell that the execution began, and what need not be executed."""
        self.cached_ids = node_ids
        self._tell("started", cached=list(node_ids))
        for node_id, entry in self.wrong.items():
            if isinstance(entry, dict):
                self._held_up(node_id, "custom_validation_failed", said_of(entry))

    def started(self, node_id: str) -> None:
        """Tell that a node begins."""
        self.check()
        self._left(self._at)
        facts = {"node_id": node_id, "node_type": self.types[node_id]}
        self.watch.begin(f"node {self.types[node_id]}", **facts)
        self._at = node_id
        self._began.setdefault(node_id, time.monotonic())
        self._step(node_id, node_type=self.types[node_id], state="running", announces=True)

    def step(self, node_id: str, value: int, total: int) -> None:
        """Tell how far a node is."""
        self.check()
        self._step(node_id, state="running", value=value, total=total)

    def preview(self, node_id: str, draw: Callable[[], bytes]) -> None:
        """Show how a picture comes along, a few times a second."""
        now = time.monotonic()
        if now - self.previewed_at < PREVIEW_SECONDS:
            return
        self.previewed_at = now
        self.engine.link.send("preview", {**self._placed(node_id), **_mark(self.job)}, draw())

    def finished(self, node_id: str, ui: JsonObject | None) -> None:
        """Tell that a node ended; what it shows comes first.

        A node that saves files is told of by the thread that saves them, perhaps while the next
        one is executed.
        """
        if node_id not in self.cached_ids:
            self.executed.append(node_id)
            self._seconds[node_id] = time.monotonic() - self._began[node_id]
            self._left(node_id)
        self._tell("shown", **self._placed(node_id), node_type=self.types[node_id], ui=ui)
        self._step(node_id, state="finished", value=1)

    def grown(self, node: Node, place: Place) -> None:
        """Learn of a node that an expansion made."""
        self.types[node.id] = node.type
        self.places[node.id] = {
            "display_node": place.display,
            "parent_node": place.parent or "",
            "real_node": place.real,
        }

    def computed(self) -> None:
        """Tell that only files are still made: another job may begin in the meantime.

        Under the exact profile pictures are decoded already, and saving computes nothing.
        """
        self._ground = self._facts({})
        self.engine.crew.finish(computes=self.job.profile != EXACT)
        self._tell("computed")

    def blocked(self, node_id: str, message: str) -> None:
        """Tell why a node is not executed, while the run goes on."""
        self._held_up(node_id, "ExecutionBlocked", f"Execution Blocked: {message}")

    def _left(self, node_id: str) -> None:
        """End the measuring of a node, unless that was done already."""
        with self._lock:
            if node_id and node_id == self._at:
                self.watch.end()
                self._at = ""

    def check(self) -> None:
        """Raise Interrupted if the agent told us to stop."""
        if self.engine.orders.is_stopped((self.job.prompt_id, self.job.attempt)):
            raise Interrupted("the run was stopped")

    def _execute(self) -> Share:
        """Execute, beside other jobs or alone; return how much of it was computed with others."""
        turns = self.backend.turns
        if turns is None or self.job.profile == EXACT:
            self._walk(nullcontext, nullcontext)
            return Share()
        with turns.joined(self.check) as share:
            self._walk(turns.taken, turns.lent)
        return share

    def _walk(self, taken: Turn, lent: Turn) -> None:
        loader = self.backend.begin(self.job.profile, alone=self.engine.crew.is_idle)
        with self.watch.part("plan"):
            made = self._prepared()
            prompt = to_comfy(made.graph, made.catalogue)

        def context_of(node_id: str) -> EngineContext:
            return EngineContext(
                job=self.job,
                node_id=node_id,
                prompt=prompt,
                loader=cast("Loader", loader),
                calls=self.engine.calls,
                on_step=self.step,
                on_preview=self.preview,
                lent=lent,
                before_saving=partial(self._place.wait_for_earlier, self.check),
            )

        with self.watch.part("plan"):
            plan = made.plan(
                self.job,
                self.executor.types,
                partial(self.engine.calls.digest_of, _mark(self.job)),
                partial(hidden_of, context_of),
            )
        sharing, task = self.engine.sharing, self._task(made, plan)
        if sharing and task:
            with self.watch.part("take shared results"):
                sharing.take(task)
        self.executor.execute(
            made.graph, plan, context_of, self, self.job.sharing, taken, self.computed
        )
        task = task or self._task(made, plan)
        if sharing and task:
            with self.watch.part("share results"):
                sharing.give(task, self._seconds)

    def _task(self, made: Prepared, plan: Plan) -> Task | None:
        """Return what can be shared; None while the weights' bytes are still being read."""
        digests = self.engine.digests.within(DIGEST_SECONDS, self.weights)
        if digests is None:
            return None
        ground = json.dumps(self._facts({})["fingerprint"], sort_keys=True)
        ground += self.engine.packs_digest
        names = made.shared_names(plan, digests, ground)
        return Task(_mark(self.job), self.job.sharing, made.graph, plan, made.catalogue, names)

    def _facts(self, digests: Mapping[str, str]) -> JsonObject:
        """Return what the results rest on, as it was when they were computed."""
        facts = self.backend.facts(digests, self.job.profile)
        if self._ground is None:
            return facts
        found, then = (cast("JsonObject", one["fingerprint"]) for one in (facts, self._ground))
        return {**facts, **self._ground, "fingerprint": {**found, **then}}

    def _prepared(self) -> Prepared:
        """Check the graph once more, and know which weights it takes."""
        job = self.job
        made = prepared(job, self.executor.types)
        self.weights = {need.path: job.weights[need.folder][need.name] for need in made.weights}
        self.engine.digests.begin(self.weights)
        self.types = {node.id: node.type for node in made.graph.nodes.values()}
        self.wrong = made.wrong
        return made

    def _held_up(self, node_id: str, kind: str, message: str) -> None:
        self._tell(
            "blocked",
            node_id=node_id,
            node_type=self.types[node_id],
            exception_type=kind,
            detail=told(message),
            executed=bounded(self.executed, self.places),
        )

    def _step(self, node_id: str, **facts: Any) -> None:
        self._tell("progress", **self._placed(node_id), **facts)

    def _placed(self, node_id: str) -> JsonObject:
        return {"node_id": node_id, **self.places.get(node_id, {})}

    def _tell(self, kind: str, **facts: Any) -> None:
        self.engine.link.send(kind, {**facts, **_mark(self.job)})


def _mark(job: Job) -> JsonObject:
    return {"prompt_id": job.prompt_id, "attempt": job.attempt}


def open_engine() -> Backend | PortableBackend:
    """Open the engine that the environment names."""
    if os.environ.get("STUDIO_ENGINE", TORCH) == PORTABLE:
        return open_portable()
    return open_backend()


def main(open_it: Callable[[], Backend | PortableBackend] = open_engine) -> None:
    """Serve the agent at the other end of the file descriptor given as the argument."""
    die_with_parent()
    set_up_logs("engine", form=TelemetrySettings().log)
    threading.excepthook = end_with_thread
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    engine = Engine(link)
    threading.Thread(target=engine.hear, name="hear", daemon=True).start()
    results_mib = int(os.environ.get("STUDIO_ENGINE_RESULTS_MIB", "512"))
    engine.serve(open_it(), results_mib, int(os.environ.get("STUDIO_ENGINE_SHARED_MIB", "0")))


if __name__ == "__main__":
    main()
