"""The fleet, written by each worker about itself."""

from __future__ import annotations

from libs.events.base import Event, Wire


class WeightsFile(Wire):
    """A model file that a worker holds."""

    name: str
    size_bytes: int
    modified_ms: int


class WorkerEvent(Event):
    """Owned by gpu_worker; `slot` names the place that outlives one process."""

    owner = "gpu_worker"
    kind = "worker"

    worker_id: str
    slot: str

    @property
    def subject_id(self) -> str:
        return self.worker_id


class WorkerRegistered(WorkerEvent):
    """A worker process started; an older one on the same slot is dead."""

    device: str
    backend: str
    vram_mib: int
    software: dict[str, str] = {}


class WeightsListed(WorkerEvent):
    """All model files of the worker, by folder; replaces what it said before."""

    weights: dict[str, tuple[WeightsFile, ...]]


class WorkerStopped(WorkerEvent):
    """The worker left in good order and holds no lease."""

    reason: str


WorkerEvents = WorkerRegistered | WeightsListed | WorkerStopped
