"""The worker's table of contents: the agent; the engine is a child process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

from libs import weights
from libs.chassis.service import Resources, Service
from libs.weights.exported import ExportedFolder
from libs.weights.folder import ModelFolder, builtin_files
from services.gpu_worker.agent import Agent
from services.gpu_worker.child import EngineChild, engine_command, engine_environment
from services.gpu_worker.describing import Describing
from services.gpu_worker.importing import Imports
from services.gpu_worker.settings import WorkerSettings
from services.gpu_worker.shelf import PostgresShelf

DEMO = Path(weights.__file__).with_name("demo")


def build(
    resources: Resources,
    settings: WorkerSettings | None = None,
    command: Callable[[int], Sequence[str]] = engine_command,
) -> Service:
    """Wire a worker on real adapters; `command` starts its engine. Nothing here imports torch."""
    settings = settings or WorkerSettings()
    house = resources.settings
    models = settings.models or house.home / "models"
    if settings.is_portable:
        folder: ModelFolder = ExportedFolder(models.expanduser())
    else:
        folder = ModelFolder(models.expanduser(), builtin_files(DEMO))
    agent = Agent(
        worker_id=f"{settings.place}-{uuid4().hex[:12]}",
        bus=resources.bus,
        artifacts=resources.artifacts,
        vault=resources.vault,
        shelf=PostgresShelf(resources.database),
        engine=EngineChild(
            engine_environment(settings, house.home),
            command,
            Imports(settings.node_pack_seconds, settings.node_pack_mib),
        ),
        folder=folder,
        settings=settings,
        now=resources.now,
        heartbeat_seconds=house.heartbeat_seconds,
        drain_seconds=house.drain_seconds,
        may_preview=house.shows_previews,
    )
    describing = Describing(resources.artifacts, lambda: agent.inventory, settings.scan_seconds)
    return Service(
        name="gpu_worker",
        tasks={"work": agent.run, "describe": describing.run},
        ready=agent.ready,
    )
