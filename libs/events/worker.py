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
    """A worker process started; an older one on the same slot is dead.

    With `has_packs` it lists node packs next.
    """

    device: str
    backend: str
    vram_mib: int
    software: dict[str, str] = {}
    has_packs: bool = False


class WeightsListed(WorkerEvent):
    """All model files of the worker, by folder; replaces what it said before."""

    weights: dict[str, tuple[WeightsFile, ...]]


class NodePack(Wire):
    """A package of node types that a worker was given; `error` says why it did not load."""

    name: str
    types: tuple[str, ...] = ()
    error: str = ""


class NodePacksListed(WorkerEvent):
    """All node packs of the worker. `schemas` is the artifact that describes their types.

    `pages` are the artifacts of what packs add to the editor's page, by the names of the packs.
    """

    packs: tuple[NodePack, ...] = ()
    schemas: str = ""
    pages: dict[str, str] = {}


class WorkerStopped(WorkerEvent):
    """The worker left in good order and holds no lease."""

    reason: str


WorkerEvents = WorkerRegistered | WeightsListed | NodePacksListed | WorkerStopped
