"""Runs services in this process until it is told to stop, then drains them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
from collections.abc import Iterator, Sequence

import structlog
import uvicorn

from libs.bus.base import Reactor
from libs.chassis.health import health_app
from libs.chassis.open_files import allow_many
from libs.chassis.service import Resources, Service
from libs.core.errors import StudioError, Unavailable
from libs.telemetry.process import name_service

# Clients of the field block in their own code and answer no ping for minutes, so the server
# never asks; a dead connection shows when something is sent.
WEBSOCKET_PING_SECONDS = None

# An outage of a server is waited out, however long; only what is wrong in itself is set aside.
PATIENCE_SECONDS = 7 * 86_400.0

log = structlog.get_logger(__name__)


class _QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the runner."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(
    services: Sequence[Service], resources: Resources, *, health: tuple[str, int] = ("", 0)
) -> None:
    """Run `services` until SIGTERM or SIGINT; Unavailable when a part of one ended by itself.

    `health` is the address and the port of their probes; a port of 0 is none.
    """
    allow_many()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for service in services:
        if service.start is not None:
            await service.start()
    parts = {
        name: task for service in services for name, task in _own_parts(service, resources).items()
    }
    if health[1]:
        app = health_app(services, resources)
        parts["health"] = asyncio.create_task(_serve(app, *health))
    log.info("running", services=[service.name for service in services])
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait(
            {waiting, *parts.values()}, return_when=asyncio.FIRST_COMPLETED
        )
        ended = [name for name, task in parts.items() if task in done]
        if ended:
            raise _why(ended[0], parts[ended[0]])
    finally:
        waiting.cancel()
        await _drain(services, parts, resources.settings.drain_seconds)


def _own_parts(service: Service, resources: Resources) -> dict[str, asyncio.Task[None]]:
    """Start the parts where log lines and spans know whose they are."""

    def start() -> dict[str, asyncio.Task[None]]:
        name_service(service.name)
        return dict(_parts(service, resources))

    return contextvars.copy_context().run(start)


def _parts(service: Service, resources: Resources) -> Iterator[tuple[str, asyncio.Task[None]]]:
    if service.reacts:
        reactor = Reactor(
            name=service.name,
            filters=service.filters(),
            handler=service.handle,
            patience_seconds=PATIENCE_SECONDS,
        )
        yield (
            f"{service.name}.reactor",
            asyncio.create_task(resources.bus.react(reactor)),
        )
    for subject, handler in service.answers.items():
        yield (
            f"{service.name}.{subject}",
            asyncio.create_task(resources.bus.answer(subject, handler)),
        )
    for name, task in service.tasks.items():
        yield f"{service.name}.{name}", asyncio.create_task(_forever(task()))
    if service.app is not None:
        yield (
            f"{service.name}.http",
            asyncio.create_task(_serve(service.app, service.host, service.port)),
        )


async def _forever(task: object) -> None:
    await task  # type: ignore[misc]


async def _serve(app: object, host: str, port: int) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        ws_ping_interval=WEBSOCKET_PING_SECONDS,
        ws_ping_timeout=WEBSOCKET_PING_SECONDS,
        ws_max_size=1 << 20,
        # Frames are short, and a compressor for each client would cost more than all else of it.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=75,
        server_header=False,
    )
    server = _QuietServer(config)
    try:
        await server.serve()
    except asyncio.CancelledError:
        server.should_exit = True
        await server.shutdown()
        raise
    except SystemExit as error:
        raise Unavailable("the HTTP server could not start", host=host, port=port) from error


def _why(name: str, task: asyncio.Task[None]) -> StudioError:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, StudioError):
        return error
    log.error("part_ended", part=name, exc_info=error)
    return Unavailable(
        "a part of the service ended by itself", part=name, error=type(error).__name__
    )


async def _drain(
    services: Sequence[Service], parts: dict[str, asyncio.Task[None]], seconds: float
) -> None:
    """Cancel all parts, wait for what is in hand, and say what did not finish."""
    for task in parts.values():
        task.cancel()
    if parts:
        _, late = await asyncio.wait(parts.values(), timeout=seconds)
        if late:
            names = [name for name, task in parts.items() if task in late]
            log.warning("not_drained", parts=names, seconds=seconds)
    for service in services:
        if service.stop is not None:
            await service.stop()
    log.info("stopped", services=[service.name for service in services])
