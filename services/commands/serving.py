"""`studio <service>`, `studio house` and `studio provision`: what a process manager starts."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import structlog
import typer

from libs.chassis.embedded.home import lay_out
from libs.core.errors import Misconfigured, StudioError, Unavailable
from libs.settings import Settings
from libs.telemetry.process import secrets_of, telemetry
from services.commands.console import err, plain_errors
from services.commands.finding import master_key

log = structlog.get_logger(__name__)

CPU_SERVICES = (
    "recorder",
    "validator",
    "moderation",
    "billing",
    "scheduler",
    "gateway",
    "painter",
)
# They know no bus and no storage: they are clients of the API, with a database of their own.
CLIENTS = frozenset({"painter"})
WORKER = "gpu_worker"
# Python's own thresholds walk all that lives many times a second, in search of very little.
COLLECT_AFTER = (20_000, 20, 20)
SERVICES = (*CPU_SERVICES, WORKER)

HealthPort = Annotated[
    int,
    typer.Option(
        envvar="STUDIO_HEALTH_PORT",
        min=0,
        max=65535,
        help="Serve /healthz, /readyz and /metrics on this port; 0 does not.",
    ),
]

HealthHost = Annotated[
    str,
    typer.Option(
        envvar="STUDIO_HEALTH_HOST", help="Serve them on this address; all of them by default."
    ),
]
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - an orchestrator asks from outside of the container


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for name in SERVICES:
        app.command(name, help=f"Run the {name} service.", rich_help_panel="Services")(
            _command(name)
        )
    app.command("house", rich_help_panel="Services")(house)
    app.command("provision", rich_help_panel="Services")(provision_command)


@plain_errors
def house(health_port: HealthPort = 0, health_host: HealthHost = ALL_ADDRESSES) -> None:
    """Run all services but the worker in one process."""
    serve(CPU_SERVICES, "house", health_port, health_host)


@plain_errors
def provision_command(
    write: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Only write streams and NATS rights as files into this folder.",
        ),
    ] = None,
    tables: Annotated[
        bool, typer.Option("--tables", help="Only make the tables of DATABASE_URL.")
    ] = False,
) -> None:
    """Create streams, tables and buckets that are missing; safe to repeat."""
    from libs.chassis.resources import check_settings, provision

    settings = Settings()
    if tables:
        _make_tables(settings)
        return
    if write is not None:
        _write_files(write, settings)
        return
    with telemetry("provision", settings.log_level, secrets=secrets_of(settings)):
        check_settings(settings)
        asyncio.run(provision(settings))
    err.print("streams, tables and buckets are there")


def _make_tables(settings: Settings) -> None:
    from libs.store.engine import migrate

    with telemetry("provision", settings.log_level, secrets=secrets_of(settings)):
        if not settings.database_url:
            raise Misconfigured("a setting is missing", missing=["DATABASE_URL"])
        asyncio.run(migrate(settings.database_url))
        log.info("tables are there")


def _write_files(folder: Path, settings: Settings) -> None:
    from libs.bus.authorization import files

    for name, text in files(settings).items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Misconfigured(
                "the folder cannot be written to", folder=str(folder), reason=str(error)
            ) from error
    err.print(f"streams and rights are written to {folder}")


def serve(
    names: Sequence[str], process: str, health_port: int = 0, health_host: str = ALL_ADDRESSES
) -> None:
    """Build `names` on real adapters and run them until a signal comes."""
    settings = Settings()
    if CLIENTS.issuperset(names):
        settings = _settings_of_client(settings)
    secrets = secrets_of(settings)
    with telemetry(process, settings.log_level, secrets=secrets), _fast_loop() as runner:
        runner.run(_serve(settings, names, process, (health_host, health_port)))


def _settings_of_client(settings: Settings) -> Settings:
    """Return the settings with a key of the process's own, and see to its tables.

    What makes tables would stay in the memory of this process, so another one does it.
    """
    if not settings.master_key.get_secret_value():
        os.environ["STUDIO_MASTER_KEY"] = master_key(lay_out(settings.home))
    command = [sys.executable, "-m", "services.cli", "provision", "--tables"]
    told = subprocess.run(command, check=False)
    if told.returncode:
        raise Unavailable("the tables could not be made; the lines above say why")
    return Settings()


async def _serve(
    settings: Settings, names: Sequence[str], process: str, health: tuple[str, int]
) -> None:
    from libs.chassis.resources import open_resources
    from libs.chassis.runner import run

    async with open_resources(settings, process, alone=CLIENTS.issuperset(names)) as resources:
        services = [
            importlib.import_module(f"services.{name}.main").build(resources) for name in names
        ]
        _spare_the_collector()
        try:
            await run(services, resources, health=health)
        except StudioError:
            raise
        except OSError as error:
            raise Unavailable("the process could not go on", reason=str(error)) from error


def _spare_the_collector() -> None:
    """Let the collector of cycles pass over what lives as long as the process does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _fast_loop() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:  # There is no uvloop on Windows; asyncio's own loop serves as well.
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _command(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - typer reads it
    @plain_errors
    def command(health_port: HealthPort = 0, health_host: HealthHost = ALL_ADDRESSES) -> None:
        serve((name,), name, health_port, health_host)

    command.__doc__ = f"Run the {name} service."
    return command
