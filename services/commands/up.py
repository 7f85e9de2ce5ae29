"""`studio up`: the whole house in one command, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from libs.settings import Settings
from libs.telemetry.process import secrets_of, telemetry
from services.commands.console import err, plain_errors, print_json
from services.commands.finding import PAINTER_PORT, PORT

if TYPE_CHECKING:
    from services.commands.living import Living


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    port: int
    painter_port: int
    split: bool
    as_json: bool


@plain_errors
def up(
    split: Annotated[
        bool, typer.Option("--split", help="Give every service a process of its own.")
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            envvar="STUDIO_GATEWAY_PORT",
            help="Port of the API; another if it is taken.",
        ),
    ] = PORT,
    painter_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            envvar="STUDIO_PAINTER_PORT",
            help="Port of Painter; another if it is taken.",
        ),
    ] = PAINTER_PORT,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line when ready, for programs.")
    ] = False,
) -> None:
    """Start the house on this machine: servers, services and one worker.

    Example: studio up, then studio generate "a red circle on blue" -o circle.png
    """
    settings = Settings()
    with telemetry("up", settings.log_level, secrets=secrets_of(settings)):
        asyncio.run(_up(settings, Wish(port, painter_port, split, as_json)))


async def _up(settings: Settings, wish: Wish) -> None:
    began = time.monotonic()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(_live_until(settings, stop, began, wish))
    await asyncio.wait(
        {starting, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED
    )
    if not starting.done():
        err.print("stopping: work in hand is finished first", style="dim")
        await _give_time(starting)
    if starting.cancelled():
        err.print("stopped before the house was up; everything is kept", style="dim")
    else:
        starting.result()


async def _give_time(starting: asyncio.Task[None]) -> None:
    """Let the house leave by itself; a start that is not finished yet is called off."""
    await asyncio.wait({starting}, timeout=0.5)
    if not starting.done() and not _is_up.is_set():
        starting.cancel()
    await asyncio.wait({starting})


_is_up = asyncio.Event()


async def _live_until(settings: Settings, stop: asyncio.Event, began: float, wish: Wish) -> None:
    from services.commands.living import live

    async with live(
        settings, port=wish.port, painter_port=wish.painter_port, split=wish.split
    ) as living:
        _is_up.set()
        _say(living, time.monotonic() - began, wish)
        stopped = asyncio.ensure_future(stop.wait())
        parts: set[asyncio.Future[Any]] = {stopped, living.servers.failed}
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if living.servers.failed.done():
            raise living.servers.failed.result()
    err.print("stopped; everything is kept in the folder", style="dim")


def _say(living: Living, seconds: float, wish: Wish) -> None:
    if wish.as_json:
        print_json(
            {
                "url": living.url,
                "painter": living.painter_url,
                "home": str(living.home),
                "ready_seconds": round(seconds, 2),
                "pids": {**living.servers.pids, **living.supervisor.pids},
                "health": dict(living.health),
            }
        )
        return
    err.print(f"[bold]Hanzo Studio[/bold] is up at [bold]{living.url}[/bold] ({seconds:.1f} s)")
    err.print(f"  Painter, a sentence in and a picture out: [bold]{living.painter_url}[/bold]")
    for wished, url in ((wish.port, living.url), (wish.painter_port, living.painter_url)):
        if wish.port and wished and not url.endswith(f":{wished}"):
            err.print(f"  port {wished} is taken, so another was chosen", style="yellow")
    err.print(f"  data and models: {_short(living.home)}")
    err.print('  try: [cyan]studio generate "a red circle on blue" -o circle.png[/cyan]')
    err.print("  stop with Ctrl-C; everything is kept", style="dim")


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
