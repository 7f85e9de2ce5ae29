"""What the workers say of themselves between events: how much memory is free right now."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from pydantic import ValidationError

from libs.bus.base import Bus
from libs.core.jsonvalue import Json, JsonObject
from libs.events.signals import FREE_SUBJECT, Free, Heartbeat, heartbeat_subject
from libs.store.readmodels.workers import WorkerRow

MIB: Final = 1024 * 1024
# Whoever was silent for longer is shown as it registered.
FRESH_SECONDS: Final = 60.0
WORKERS_MAX: Final = 10_000

log = structlog.get_logger(__name__)


@dataclass
class Fleet:
    """The newest heartbeat of each worker; `clock` only grows, in seconds."""

    bus: Bus
    clock: Callable[[], float]
    _beats: dict[str, tuple[float, Heartbeat]] = field(default_factory=dict)

    async def hear(self) -> None:
        """Hear heartbeats for ever."""
        async for signal in self.bus.signals(heartbeat_subject("*")):
            try:
                beat = Heartbeat.model_validate_json(signal.data)
            except ValidationError as error:
                log.warning("bad_signal", subject=signal.subject, errors=error.error_count())
                continue
            self._beats.pop(beat.worker_id, None)
            self._beats[beat.worker_id] = (self.clock(), beat)
            while len(self._beats) > WORKERS_MAX:
                del self._beats[next(iter(self._beats))]

    async def free(self, *, models: bool, results: bool) -> None:
        """Ask all workers to let go of models and remembered results, between two runs."""
        wish = Free(models=models, results=results)
        await self.bus.signal(FREE_SUBJECT, wish.model_dump_json().encode())

    def devices(self, workers: Sequence[WorkerRow]) -> list[Json]:
        """Return the devices of the workers that are up, as editors read them."""
        up = [worker for worker in workers if worker.state == "up"]
        return [self._device(index, worker) for index, worker in enumerate(up)]

    def _device(self, index: int, worker: WorkerRow) -> JsonObject:
        heard, beat = self._beats.get(worker.worker_id, (0.0, None))
        total = worker.vram_mib * MIB
        free = total
        if beat is not None and self.clock() - heard < FRESH_SECONDS:
            free = min(total, beat.vram_free_mib * MIB)
        return {
            "name": worker.device,
            "type": worker.backend,
            "index": index,
            "vram_total": total,
            "vram_free": free,
            "torch_vram_total": total,
            "torch_vram_free": free,
        }


def memory_of_this_machine() -> tuple[int, int]:
    """Return how many bytes of memory this machine has, and how many of them are free."""
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
