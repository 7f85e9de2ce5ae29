"""`studio <service>`, `studio house` and `studio provision`: what a process manager starts."""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from libs.core.errors import Misconfigured, StudioError, Unavailable
from libs.settings import Settings
from libs.telemetry.process import secrets_of, telemetry
from services.commands.console import err, plain_errors

CPU_SERVICES = (
    "recorder",
    "validator",
    "moderation",
    "billing",
    "scheduler",
    "gateway",
)
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
) -> None:
    """Create streams, tables and buckets that are missing; safe to repeat."""
    from libs.chassis.resources import check_settings, provision

    settings = Settings()
    if write is not None:
        _write_files(write, settings)
        return
    with telemetry("provision", settings.log_level, secrets=secrets_of(settings)):
        check_settings(settings)
        asyncio.run(provision(settings))
    err.print("streams, tables and buckets are there")


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
    secrets = secrets_of(settings)
    with telemetry(process, settings.log_level, secrets=secrets), _fast_loop() as runner:
        runner.run(_serve(settings, names, process, (health_host, health_port)))


async def _serve(
    settings: Settings, names: Sequence[str], process: str, health: tuple[str, int]
) -> None:
    from libs.chassis.resources import open_resources
    from libs.chassis.runner import run

    async with open_resources(settings, process) as resources:
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
