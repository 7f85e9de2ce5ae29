"""Files of one attempt: names for what is made, the way to quarantine, and uploads to read."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypeVar

import structlog

from libs.artifacts.base import Artifacts
from libs.artifacts.keys import quarantine_key
from libs.bus.base import Bus
from libs.core.errors import NotFound, Unavailable
from libs.events.execution import Output
from libs.graph.uploads import annotated
from libs.nodes.context import OutputFile
from libs.nodes.filenames import Facts, numbered, place
from libs.sealed.base import Vault
from libs.telemetry import tracing
from services.gpu_worker.domain.shown import Name
from services.gpu_worker.kept import KeptResults
from services.gpu_worker.outlet import Outlet

log = structlog.get_logger(__name__)

T = TypeVar("T")

RETRY_SECONDS_FIRST: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0


@dataclass(frozen=True)
class Stored:
    """Where a file of a user lies; sealed under `kid` unless that is empty."""

    artifact: str
    kid: str
    digest: str


class Shelf(Protocol):
    """Finds the files that a user may name: uploads and released outputs."""

    async def find(self, tenant: str, user: str, kind: str, name: str) -> Stored | None:
        """Return where the file lies; Unavailable when that cannot be known now."""
        ...


@dataclass
class Files:
    """One attempt's files; `user` owns them."""

    bus: Bus
    artifacts: Artifacts
    vault: Vault
    shelf: Shelf
    outlet: Outlet
    user: str
    now: Callable[[], datetime]
    results: KeptResults
    _made: dict[str, dict[Name, Output]] = field(default_factory=lambda: defaultdict(dict))
    _uploads: dict[str, list[asyncio.Task[None]]] = field(default_factory=lambda: defaultdict(list))

    async def save(self, node_id: str, file: OutputFile) -> Output:
        """Give a file its name and begin to store it in quarantine."""
        await self.outlet.require()
        facts = Facts(
            now=self.now(),
            width=file.width,
            height=file.height,
            batch_number=file.batch_number,
        )
        subfolder, stem = place(file.filename_prefix, facts)
        counter = await _patiently(lambda: self.bus.count(self._counter(file, subfolder, stem)))
        made = self._made[node_id]
        nodes_before = list(self._made).index(node_id)
        output = Output(
            index=len(made),
            kind="image",
            filename=numbered(stem, counter, file.extension),
            subfolder=subfolder,
            folder=file.folder,
            artifact=quarantine_key(
                self.outlet.tenant,
                self.outlet.prompt_id,
                self.outlet.attempt,
                nodes_before,
                len(made),
            ),
            sha256=hashlib.sha256(file.data).hexdigest(),
            mime=file.mime,
            size_bytes=len(file.data),
            width=file.width,
            height=file.height,
        )
        made[output.folder, subfolder, output.filename] = output
        upload = self._store(output, file.data)
        self._uploads[node_id].append(asyncio.create_task(upload))
        return output

    async def of_node(self, node_id: str) -> dict[Name, Output]:
        """Return the files that a node made, once all of them are stored."""
        await asyncio.gather(*self._uploads.pop(node_id, ()))
        return dict(self._made.get(node_id, {}))

    async def read(self, name: str) -> bytes:
        """Return a file that the workflow names."""
        stored = await self._find(name)
        data = await _patiently(lambda: self.artifacts.get(stored.artifact))
        if not stored.kid:
            return data
        tenant = self.outlet.tenant
        return await _patiently(lambda: self.vault.open_bytes(tenant, stored.kid, data))

    async def digest(self, name: str) -> str:
        """Return what changes when the file is replaced under its name."""
        return (await self._find(name)).digest

    async def abandon(self) -> None:
        """Stop what is under way; nobody waits for it any more."""
        tasks = [task for uploads in self._uploads.values() for task in uploads]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, name: str) -> Stored:
        plain, kind = annotated(name)
        tenant = self.outlet.tenant
        stored = await _patiently(lambda: self.shelf.find(tenant, self.user, kind, plain))
        if stored is None:
            raise NotFound("there is no such file", name=name)
        return stored

    async def _store(self, output: Output, data: bytes) -> None:
        with tracing.span("store output", kind="client", size_bytes=len(data)):
            await _patiently(lambda: self.artifacts.put(output.artifact, data, output.mime))

    def _counter(self, file: OutputFile, subfolder: str, stem: str) -> str:
        parts = (self.outlet.tenant, self.user, file.folder, subfolder, stem)
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
        return f"file-{digest.hexdigest()[:40]}"


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    delay = RETRY_SECONDS_FIRST
    while True:
        try:
            return await work()
        except Unavailable as error:
            log.warning("waiting", error=error.message)
            await asyncio.sleep(delay)
            delay = min(delay * 2, RETRY_SECONDS_MAX)
