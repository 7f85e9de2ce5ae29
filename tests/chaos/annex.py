"""`python -m tests.chaos.annex`: a second scheduler and a second worker for a running house.

They are found and spoken to as on another machine: through the addresses that the house wrote
down, and with a slot of the worker's own.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from libs.chassis.supervisor import Program, Supervisor
from libs.settings import Settings
from services.commands.finding import running_settings
from services.commands.serving import WORKER

SLOT = "annex"


async def main() -> None:
    """Keep both alive until SIGINT or SIGTERM."""
    running_settings(Settings())
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    command = (sys.executable, "-m", "services.cli")
    programs = [
        Program("scheduler", (*command, "scheduler")),
        Program(WORKER, (*command, WORKER), {"STUDIO_WORKER_SLOT": SLOT}),
    ]
    async with Supervisor(programs):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
