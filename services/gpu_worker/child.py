"""The engine seen from the agent: a process that is started, spoken to, killed, started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from libs.core.jsonvalue import Json, JsonObject
from libs.core.profiles import EXACT
from services.gpu_worker import metrics
from services.gpu_worker.frames import Frame, Mark, mark_of
from services.gpu_worker.importing import Imports, NotAdmitted
from services.gpu_worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

PAUSE_SECONDS_FIRST: Final = 0.2
PAUSE_SECONDS_MAX: Final = 30.0
STEADY_SECONDS: Final = 60.0
DIED: Final = "died"
ENDINGS: Final = frozenset({"finished", "failed", "interrupted", DIED})
# What `libs.diffusion.determinism` pins; said again here, where torch must not be imported.
PINNED: Final[Mapping[str, str]] = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
# Read when CUDA begins: a prompt of the other profile may want it.
ALWAYS_PINNED: Final = ("CUBLAS_WORKSPACE_CONFIG",)
# Servers and keys are the agent's, whom the engine asks; code of node packs runs in the engine.
WITHHELD: Final = re.compile(r"(STUDIO_)?(NATS_|S3_|DATABASE_URL|HANZO_API_KEY|MASTER_KEY)")


def engine_command(fd: int) -> tuple[str, ...]:
    """Return how the real engine is started."""
    return (sys.executable, "-m", "services.gpu_worker.engine", str(fd))


def engine_environment(settings: WorkerSettings, home: Path | None = None) -> dict[str, str]:
    """Return what the engine finds in its environment: fixed threads, and no hub to ask.

    Models and node packs lie in the folder of the house, unless the settings say otherwise.
    """
    packages = str(Path(__file__).resolve().parents[2])
    threads = str(settings.threads or os.cpu_count() or 1)
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH")))),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        # Threads that spin while they wait steal the very core that the others need.
        "OMP_WAIT_POLICY": "PASSIVE",
        **{
            name: value
            for name, value in PINNED.items()
            if settings.profile == EXACT or name in ALWAYS_PINNED
        },
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        # Packs may bring ONNX Runtime, which reports to its maker otherwise.
        "ORT_DISABLE_TELEMETRY": "1",
        # Whoever runs the worker decides what is installed in it, and not a pack at its import.
        "PIP_NO_INDEX": "1",
        "PIP_NO_INPUT": "1",
        "UV_OFFLINE": "1",
        "STUDIO_ENGINE": "portable" if settings.is_portable else "torch",
        "STUDIO_ENGINE_DEVICE": settings.device,
        "STUDIO_ENGINE_PRECISION": settings.precision,
        "STUDIO_ENGINE_MODELS_MIB": str(settings.models_mib),
        "STUDIO_ENGINE_RESULTS_MIB": str(settings.results_mib),
        "STUDIO_ENGINE_SHARED_MIB": str(settings.shared_results_mib),
        "STUDIO_ENGINE_MODELS": _folder(settings.models, home, "models"),
        "STUDIO_ENGINE_NODE_PACKS": _folder(settings.node_packs, home, "node_packs"),
        "STUDIO_ENGINE_BATCH": str(settings.runs_at_once),
        "STUDIO_ENGINE_BATCH_ROWS": str(settings.batch_rows),
        "STUDIO_ENGINE_CUDA_GRAPHS": str(settings.cuda_graphs),
    }


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the engine inherits of the agent's environment: all but servers and keys."""
    return {name: value for name, value in environment.items() if not WITHHELD.match(name)}


def _folder(told: Path | None, home: Path | None, name: str) -> str:
    found = told or (home / name if home is not None else None)
    return "" if found is None else str(found.expanduser().absolute())


@dataclass(eq=False)
class Line:
    """What the engine says of one attempt; the last of it is how the attempt ended, or `died`."""

    news: asyncio.Queue[Frame] = field(default_factory=asyncio.Queue)
    began: bool = False
    late: bool = False

    def put(self, frame: Frame) -> None:
        """Take in the next word."""
        self.began = True
        self.news.put_nowait(frame)

    async def next(self) -> Frame:
        """Return the next word, waiting for it."""
        return await self.news.get()


@dataclass
class EngineChild:
    """Keeps one engine alive; what it says of an attempt goes to the line of that attempt.

    `hello` is what the present engine said of itself, None while there is none that is ready;
    `blobs` came with it: a description of the node types of its packs, and their pages.
    """

    environment: Mapping[str, str]
    command: Callable[[int], Sequence[str]] = field(default=engine_command)
    imports: Imports = field(default_factory=Imports)
    hello: JsonObject | None = None
    blobs: tuple[bytes, ...] = ()
    free_mib: int = 0
    _lines: dict[Mark, Line] = field(default_factory=dict)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None
    _writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Start the engine, and start it again whenever it ends, until cancelled."""
        pause = PAUSE_SECONDS_FIRST
        while True:
            began = time.monotonic()
            code = await self._live()
            # A start that leaves out one pack more is a new one.
            if self.imports.ended(code) or time.monotonic() - began > STEADY_SECONDS:
                pause = PAUSE_SECONDS_FIRST
            metrics.ENGINE_DEATHS.inc()
            log.warning("engine_died", exit_code=code, again_in_seconds=pause)
            lines, self._lines = self._lines, {}
            for line in lines.values():
                line.put(Frame(DIED, {"exit_code": code}))
            self._ended.set()
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def ready(self) -> JsonObject:
        """Wait until an engine said hello, and return what it said."""
        while self.hello is None:
            await self._ready.wait()
        return self.hello

    @property
    def takes_more(self) -> bool:
        """Say whether it may be given more; not when it has to be killed for one that hangs."""
        return not any(line.late for line in self._lines.values())

    async def begin(self, frame: Frame) -> Line:
        """Hand a job to an engine that is ready, and return what it will say of it."""
        await self.ready()
        line = self._lines[mark_of(frame.facts)] = Line()
        await self.send(frame)
        return line

    async def send(self, frame: Frame) -> None:
        """Say something; lost when the engine has just died, which `news` tells."""
        writer = self._writer
        if writer is None:
            return
        with contextlib.suppress(ConnectionError):
            writer.write(frame.encode())
            await writer.drain()

    def kill(self) -> None:
        """End the engine at once; another one is started."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    async def kill_for(self, line: Line) -> None:
        """End the engine because of one attempt, as soon as no other is executed any more."""
        line.late = True
        while any(other.began and not other.late for other in self._lines.values()):
            self._ended.clear()
            await self._ended.wait()
        if line in self._lines.values():
            self.kill()

    async def _live(self) -> int:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *self.command(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                env={**inherited(os.environ), **self.environment, **self.imports.environment()},
                stdin=asyncio.subprocess.DEVNULL,
                # Of its own group: Ctrl-C is for the agent, which lets the engine finish.
                start_new_session=True,
            )
        try:
            reader, self._writer = await asyncio.open_connection(sock=ours, limit=2**20)
            with contextlib.suppress(NotAdmitted):
                while (
                    frame := await self.imports.next_frame(reader, self._process.pid)
                ) is not None:
                    self._take(frame)
            self.kill()
            return await self._process.wait()
        finally:
            self.hello = None
            self._ready.clear()
            self.kill()
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            with contextlib.suppress(ProcessLookupError):
                await asyncio.shield(self._process.wait())

    def _take(self, frame: Frame) -> None:
        """Take in what the engine says: of itself, or of an attempt."""
        free_mib = _mib(frame.facts.get("free_mib"))
        if frame.kind == "hello":
            self.hello = frame.facts
            self.blobs = frame.blobs
            self.free_mib = free_mib
            self._ready.set()
        else:
            self.free_mib = free_mib or self.free_mib
            self._hand_on(frame)

    def _hand_on(self, frame: Frame) -> None:
        """Give a word to whom it is about; nobody waits for late ones any more."""
        mark = mark_of(frame.facts)
        line = self._lines.get(mark)
        if line is not None:
            line.put(frame)
            if frame.kind in ENDINGS:
                del self._lines[mark]
                self._ended.set()


def _mib(value: Json) -> int:
    return int(value) if isinstance(value, int | float) else 0
