"""deploy/nats is what the code makes, and three servers form a cluster out of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.errors import ServiceUnavailableError

from libs.bus.authorization import CLUSTER_USERS, HOUSE_USERS, files, password_variable
from libs.bus.connection import inbox_prefix
from libs.bus.jetstream import connect
from libs.bus.rights import PROVISIONER
from libs.bus.topology import streams
from libs.settings import Settings
from tests.deploy.reading import NATS, manifest, run, script

COPIES = int(manifest("ConfigMap", "studio-config")["data"]["STUDIO_STREAM_REPLICAS"])
CLUSTERED = Settings.model_construct(stream_replicas=COPIES)
READY_SECONDS_MAX = 60


def test_the_files_are_what_the_code_makes():
    made = files(CLUSTERED)
    kept = {name: (NATS / name).read_text() for name in made}
    assert kept == made
    folder = {path.name for path in (NATS / "streams").iterdir()}
    assert folder == {f"{plan.name}.json" for plan in streams(CLUSTERED)}


def test_the_command_writes_them(tmp_path: Path):
    told = run(
        *(sys.executable, "-m", "services.cli", "provision", "--write", str(tmp_path)),
        STUDIO_STREAM_REPLICAS=str(COPIES),
    )
    assert told.returncode == 0, told.stderr
    written = {
        str(path.relative_to(tmp_path)): path.read_text()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert written == files(CLUSTERED)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "streams").write_text("in the way")
    told = run(sys.executable, "-m", "services.cli", "provision", "--write", str(taken))
    assert told.returncode != 0
    assert str(taken) in told.stderr
    assert "Traceback" not in told.stderr


def test_the_single_server_of_compose_takes_its_file():
    passwords = {password_variable(user): f"p-{user}" for user in HOUSE_USERS}
    told = run(script("nats-server"), "-t", "-c", str(NATS / "single.conf"), **passwords)
    assert told.returncode == 0, told.stderr


@dataclass(frozen=True)
class Cluster:
    """Three servers on the committed files; only ports and folders are the test's own."""

    urls: str


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    ports = _free_ports(9)
    clients, monitors, routes = ports[:3], ports[3:6], ports[6:]
    (tmp_path / "authorization.conf").write_text((NATS / "authorization.conf").read_text())
    told = {password_variable(user): f"p-{user}" for user in CLUSTER_USERS}
    told["NATS_PASSWORD_ROUTES"] = "p-routes"
    for number, port in enumerate(routes):
        told[f"NATS_ROUTE_{number}"] = f'"nats://routes:p-routes@127.0.0.1:{port}"'
    running = []
    for number in range(3):
        folder = tmp_path / f"nats-{number}"
        folder.mkdir()
        config = _moved(folder, clients[number], monitors[number], routes[number])
        running.append(_start(config, folder, told | {"POD_NAME": folder.name}))
    urls = ",".join(f"nats://127.0.0.1:{port}" for port in clients)
    yield Cluster(urls)
    for server in running:
        server.kill()
        server.wait()


def _start(config: Path, folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            [script("nats-server"), "-c", str(config)], env=environment, stdout=log, stderr=log
        )


async def test_a_cluster_of_these_files_keeps_every_stream_on_three_servers(cluster: Cluster):
    settings = Settings(
        nats_url=cluster.urls,
        nats_user=PROVISIONER,
        nats_password=f"p-{PROVISIONER}",
        stream_replicas=COPIES,
        events_max_mib=64,
    )
    await _until_there_is_a_leader(cluster)
    bus = await connect(settings, PROVISIONER)
    await bus.provision()
    await bus.close()
    operator = await _login(cluster, "studio")
    for plan in streams(CLUSTERED):
        info = await operator.jetstream().stream_info(plan.name)
        assert info.config.num_replicas == plan.config["num_replicas"]
    await operator.close()


async def test_a_cluster_of_these_files_refuses_a_service_what_is_not_its_own(cluster: Cluster):
    refused: list[str] = []
    client = await _login(cluster, "billing", refused)
    await client.publish("evt.v1.acme.ledger.a", b"{}")
    await client.publish("evt.v1.acme.run.a", b"{}")
    await client.flush()
    await client.flush()
    assert len(refused) == 1
    assert "evt.v1.acme.run.a" in refused[0]
    await client.close()


async def _login(cluster: Cluster, user: str, refused: list[str] | None = None) -> Client:
    async def note(error: Exception) -> None:
        if refused is not None and "violation" in str(error).lower():
            refused.append(str(error))

    return await nats.connect(
        cluster.urls.split(","),
        user=user,
        password=f"p-{user}",
        error_cb=note,
        inbox_prefix=inbox_prefix(user),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
    )


async def _until_there_is_a_leader(cluster: Cluster) -> None:
    operator = await _login(cluster, "studio")
    async with asyncio.timeout(READY_SECONDS_MAX):
        while True:
            with contextlib.suppress(nats.errors.TimeoutError, ServiceUnavailableError):
                account = await operator.request("$JS.API.INFO", b"", timeout=1)
                if "error" not in json.loads(account.data):
                    break
            await asyncio.sleep(0.1)
    await operator.close()


def _moved(folder: Path, client: int, monitor: int, route: int) -> Path:
    """Write the committed configuration with addresses and folders of this test."""
    text = (NATS / "nats.conf").read_text()
    for old, new in (
        ("0.0.0.0:4222", f"127.0.0.1:{client}"),
        ("0.0.0.0:8222", f"127.0.0.1:{monitor}"),
        ("0.0.0.0:6222", f"127.0.0.1:{route}"),
        ('"/data"', f'"{folder}/data"'),
        ("/run/nats/", f"{folder}/"),
        ("40GB", "1GB"),
        ('include "authorization.conf"', 'include "../authorization.conf"'),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    assert re.search(r"sync_interval: always", text)
    config = folder / "nats.conf"
    config.write_text(text)
    return config


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
