"""A whole house on one machine: embedded servers, services and worker under one roof."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from libs.bus.authorization import login_of
from libs.chassis.embedded.house import EmbeddedServers
from libs.chassis.embedded.ports import out_of_the_way
from libs.chassis.supervisor import Program, Supervisor
from libs.core.errors import Unavailable
from libs.settings import Settings
from services.commands.finding import PAINTER_PORT, PORT, master_key
from services.commands.serving import CLIENTS, CPU_SERVICES, WORKER

HOST = "127.0.0.1"
READY_SECONDS_MAX = 90.0
# They serve their probes on the port of the API.
WITH_AN_API = frozenset({"house", "gateway", "painter"})
NOT_FOR_CLIENTS = (
    *("NATS_URL", "NATS_USER", "NATS_PASSWORD"),
    *("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY"),
)
REASON_CHARACTERS_MAX = 2_000


@dataclass(frozen=True)
class Living:
    """A house that runs: where its API and Painter are, and its processes."""

    url: str
    painter_url: str
    home: Path
    servers: EmbeddedServers
    supervisor: Supervisor
    health: Mapping[str, str]


@asynccontextmanager
async def live(
    settings: Settings,
    *,
    port: int = PORT,
    painter_port: int = PAINTER_PORT,
    split: bool = False,
) -> AsyncIterator[Living]:
    """Start everything, and yield once a prompt would be executed; stop everything after."""
    home = settings.home.expanduser().absolute()
    wanted = {
        name
        for name, url in (
            ("nats", settings.nats_url),
            ("postgres", settings.database_url),
            ("s3", settings.s3_endpoint),
        )
        if not url
    }
    buckets = (settings.s3_output_bucket, settings.s3_model_bucket)
    servers = EmbeddedServers(home, wanted, buckets=buckets)  # type: ignore[arg-type]
    async with servers as addresses:
        chosen = free_port(port)
        url = f"http://{HOST}:{chosen}"
        # Whoever lets any port do for the API does so for Painter.
        chosen_for_painter = free_port(painter_port if port else 0)
        painter_url = f"http://{HOST}:{chosen_for_painter}"
        environment = {
            **addresses.environment(),
            "STUDIO_HOME": str(home),
            "STUDIO_MASTER_KEY": settings.master_key.get_secret_value() or master_key(home),
            "STUDIO_GATEWAY_PORT": str(chosen),
            "STUDIO_PAINTER_PORT": str(chosen_for_painter),
            "STUDIO_URL": url,
        }
        if "nats" in servers.pids:
            # A login for another server would go before the one in the address.
            environment |= {"NATS_USER": "", "NATS_PASSWORD": ""}
        os.environ.update(environment)
        await _provision()
        names = (*CPU_SERVICES, WORKER) if split else ("house", WORKER)
        probes = out_of_the_way([name for name in names if name not in WITH_AN_API])
        async with Supervisor(_programs(servers, names, probes)) as supervisor:
            servers.announce(studio=url, painter=painter_url)
            health = {name: f"http://{HOST}:{chosen}" for name, chosen in probes.items()}
            living = Living(url, painter_url, home, servers, supervisor, health)
            await _until_ready(living)
            yield living


async def _provision() -> None:
    """Make streams, tables and buckets in a process of its own.

    What migrations need would stay in the memory of this one for as long as the house lives.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "provision"),
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": "1000"},
        start_new_session=True,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        reason = said.decode(errors="replace").strip()[-REASON_CHARACTERS_MAX:]
        raise Unavailable("streams, tables and buckets could not be made", reason=reason)


def free_port(wished: int) -> int:
    """Return `wished` if nobody listens there, else a port that is free."""
    for port in (wished, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable("no port is free on this machine", host=HOST, wished=wished)


def _programs(
    servers: EmbeddedServers, names: Sequence[str], probes: Mapping[str, int]
) -> list[Program]:
    return [
        Program(
            name,
            (sys.executable, "-m", "services.cli", name),
            {
                **_access_of(servers, name),
                "STUDIO_HEALTH_HOST": HOST,
                "STUDIO_HEALTH_PORT": str(probes.get(name, 0)),
            },
        )
        for name in names
    ]


def _access_of(servers: EmbeddedServers, name: str) -> dict[str, str]:
    """Return how a process gets to the servers; a client of the API gets to its database alone."""
    if name in CLIENTS:
        return dict.fromkeys(NOT_FOR_CLIENTS, "")
    return servers.environment_of(name) or login_of(name, os.environ)


async def _until_ready(living: Living) -> None:
    """Wait until the gateway answers and the fleet's model files are listed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_SECONDS_MAX
    missing = "the gateway does not answer"
    async with httpx.AsyncClient(base_url=living.url, timeout=5) as client:
        while loop.time() < deadline:
            if living.servers.failed.done():
                raise living.servers.failed.result()
            try:
                missing = await _missing(client, living.painter_url, living.health[WORKER])
            except (httpx.HTTPError, ValueError, KeyError):
                # Until it has its port, somebody else may answer there.
                missing = "the gateway does not answer"
            if not missing:
                return
            await asyncio.sleep(0.1)
    raise Unavailable(
        "the house did not get ready; its log above says why",
        waited_seconds=READY_SECONDS_MAX,
        missing=missing,
    )


async def _missing(client: httpx.AsyncClient, painter_url: str, worker_url: str) -> str:
    ready = await client.get("/readyz")
    if ready.status_code != httpx.codes.OK:
        return f"not ready: {ready.text}"
    if (await client.get(f"{painter_url}/healthz")).status_code != httpx.codes.OK:
        return "Painter does not answer"
    info = await client.get("/object_info/CheckpointLoaderSimple")
    if info.status_code == httpx.codes.UNAUTHORIZED:
        # Nobody has a key of a new house yet, so the worker is asked instead of the API.
        worker = await client.get(f"{worker_url}/readyz")
        return "" if worker.status_code == httpx.codes.OK else f"worker not ready: {worker.text}"
    names = info.json()["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0]
    return "" if names else "no worker has listed a checkpoint yet"
