"""A process of its own that holds the embedded servers until it is told to stop.

Prints one JSON line once they answer: pids, addresses, and how long the start took.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from libs.chassis.embedded.house import USUAL_PORTS, EmbeddedServers


async def main(home: Path) -> None:
    """Run until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    began = time.monotonic()
    servers = EmbeddedServers(home, wished_ports=dict.fromkeys(USUAL_PORTS, 0))
    async with servers as addresses:
        told = {
            "pids": dict(servers.pids),
            "addresses": asdict(addresses),
            "start_seconds": time.monotonic() - began,
        }
        print(json.dumps(told), flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
