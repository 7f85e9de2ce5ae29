"""`python -m tests.chaos.annex`: a second scheduler and a second worker for a running house.

They are found and spoken to as on another machine: through the addresses that the house wrote
down, and with a slot of the worker's own.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable

from libs.chassis.supervisor import Program, Supervisor
from libs.settings import Settings
from services.commands.finding import running_settings
from services.commands.serving import WORKER

SLOT = "annex"


def _logins(settings: Settings) -> Callable[[str], dict[str, str]]:
    """Return what gives a process the NATS user of its service, as the house gives its own."""
    config = json.loads((settings.home / "nats" / "nats.conf").read_text())
    passwords = {one["user"]: one["password"] for one in config["authorization"]["users"]}
    return lambda user: {"NATS_URL": f"nats://{user}:{passwords[user]}@{config['listen']}"}


async def main() -> None:
    """Keep both alive until SIGINT or SIGTERM."""
    settings = running_settings(Settings())
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    command = (sys.executable, "-m", "services.cli")
    logins = _logins(settings)
    slot = {"STUDIO_WORKER_SLOT": SLOT}
    programs = [
        Program("scheduler", (*command, "scheduler"), logins("scheduler")),
        Program(WORKER, (*command, WORKER), {**slot, **logins(WORKER)}),
    ]
    async with Supervisor(programs):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
