"""Every service says whether its servers answer: not ready while one is away, ready again after."""

from __future__ import annotations

import asyncio
import base64
import importlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from libs.chassis.embedded.nats import start_nats
from libs.chassis.embedded.postgres import start_postgres
from libs.chassis.embedded.s3 import S3Access
from libs.chassis.embedded.server import Server
from libs.chassis.health import health_app
from libs.chassis.resources import open_resources, provision
from libs.settings import Settings
from services.commands.serving import SERVICES
from tests.integration.gateway.house import eventually
from tests.servers import Keeper

PROBED = tuple(name for name in SERVICES if name != "gpu_worker")


@dataclass(frozen=True)
class Servers:
    """Servers of this module's own, since it takes them away."""

    settings: Settings
    by_name: dict[str, Server]


@pytest.fixture(scope="module")
def servers(
    keeper: Keeper, s3_settings: S3Access, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    """Start NATS and PostgreSQL that nobody else uses."""
    home: Path = tmp_path_factory.mktemp("probed")
    nats = keeper.run(start_nats(home, port=0, monitoring_port=0))
    postgres = keeper.run(start_postgres(home, port=0))
    settings = Settings(
        nats_url=nats.url,
        database_url=postgres.url,
        s3_endpoint=s3_settings.endpoint,
        s3_access_key=s3_settings.access_key,
        s3_secret_key=SecretStr(s3_settings.secret_key),
        s3_output_bucket="probed",
        master_key=SecretStr(base64.b64encode(os.urandom(32)).decode()),
    )
    yield Servers(settings, {"bus": nats.server, "database": postgres.server})
    keeper.run(nats.server.stop())
    keeper.run(postgres.server.stop())


@pytest.fixture
async def probes(servers: Servers) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Give the probes of every service that shares a process with others, by name."""
    await provision(servers.settings)
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(servers.settings, "probed"))
        clients = {}
        for name in PROBED:
            service = importlib.import_module(f"services.{name}.main").build(resources)
            # The gateway's readiness of its own needs its tasks, and it has routes of its own.
            app = health_app([] if name == "gateway" else [service], resources)
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            clients[name] = await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://probe")
            )
        yield clients


async def missing(client: httpx.AsyncClient) -> set[str]:
    """Return the servers that a service misses; its answer is 200 or 503 and nothing else."""
    answer = await client.get("/readyz")
    told = answer.json()
    assert answer.status_code == (200 if told["ready"] else 503)
    assert told["ready"] is not bool(told["missing"])
    return {reason.partition(":")[0] for reason in told["missing"]} & {"bus", "database"}


@pytest.mark.covers("P06")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("away", ["bus", "database"])
async def test_nobody_is_ready_while_a_server_is_away(
    keeper: Keeper, servers: Servers, probes: dict[str, httpx.AsyncClient], away: str
):
    server = servers.by_name[away]
    for client in probes.values():
        assert await missing(client) == set()
    os.kill(server.pid, signal.SIGINT)

    async def gone() -> bool:
        return server.has_ended

    await eventually(gone, 60)
    try:
        told = await asyncio.gather(*(missing(client) for client in probes.values()))
        assert told == [{away}] * len(probes)
        for client in probes.values():
            assert (await client.get("/healthz")).status_code == 200
    finally:
        await asyncio.to_thread(keeper.run, server.restart())

    async def back() -> bool:
        return not any([await missing(client) for client in probes.values()])

    await eventually(back, 60)


@pytest.mark.covers("P06")
async def test_every_service_lives_and_counts(probes: dict[str, httpx.AsyncClient]):
    for name, client in probes.items():
        assert (await client.get("/healthz")).json() == {"status": "ok"}, name
        shown = await client.get("/metrics")
        assert shown.headers["content-type"].startswith("text/plain")
        assert "# TYPE studio_" in shown.text
