"""Each real server on its own: it answers, keeps its data, and moves over for another."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
import sysconfig
import time
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from botocore.exceptions import ClientError

from libs.chassis.embedded import nats, ports, s3
from libs.chassis.embedded.nats import start_nats
from libs.chassis.embedded.ports import LOOPBACK
from libs.chassis.embedded.postgres import start_postgres
from libs.chassis.embedded.s3 import S3, client, start_s3
from libs.core.errors import Misconfigured, Unavailable
from tests.integration.embedded import probes
from tests.servers import Keeper

# Two seconds is the promise on an idle machine; the tests share theirs with others.
READY_SECONDS = 25


@pytest.fixture
def taken() -> Iterator[int]:
    """Give a port on which somebody else listens."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield listener.getsockname()[1]


async def test_nats_answers_soon_and_keeps_its_streams_over_a_stop(tmp_path: Path) -> None:
    began = time.monotonic()
    first = await start_nats(tmp_path, port=0, monitoring_port=0)
    assert time.monotonic() - began < READY_SECONDS
    await probes.keep_on_nats(first.url)
    await first.server.stop()
    second = await start_nats(tmp_path, port=0, monitoring_port=0)
    assert await probes.kept_on_nats(second.url)
    await second.server.stop()


async def test_postgres_answers_soon_and_keeps_its_rows_over_a_stop(tmp_path: Path) -> None:
    began = time.monotonic()
    first = await start_postgres(tmp_path, port=0)
    assert time.monotonic() - began < READY_SECONDS
    await probes.keep_in_postgres(first.url)
    await first.server.stop()
    second = await start_postgres(tmp_path, port=0)
    assert await probes.kept_in_postgres(second.url)
    await second.server.stop()


async def test_postgres_starts_though_its_old_pid_is_a_strangers_now(tmp_path: Path) -> None:
    first = await start_postgres(tmp_path, port=0)
    note = tmp_path / "postgres" / "data" / "postmaster.pid"
    left = note.read_text().split("\n", 1)[1]
    await first.server.stop()
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    note.write_text(f"{stranger.pid}\n{left}")
    second = await start_postgres(tmp_path, port=0)
    assert await _may_connect(second.url)
    await second.server.stop()
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_s3_answers_soon_and_keeps_its_objects_over_a_stop(tmp_path: Path) -> None:
    began = time.monotonic()
    first = await start_s3(tmp_path, port=0, buckets=("wanted-a", "wanted-b"))
    assert time.monotonic() - began < READY_SECONDS
    probes.keep_in_s3(first.access)
    await first.server.stop()
    second = await start_s3(tmp_path, port=0, buckets=("wanted-a", "wanted-b"))
    names = {bucket["Name"] for bucket in client(second.access).list_buckets()["Buckets"]}
    assert names == {"wanted-a", "wanted-b", probes.BUCKET}
    assert probes.kept_in_s3(second.access)
    await second.server.stop()


async def test_a_taken_port_is_left_alone_and_another_is_used(tmp_path: Path, taken: int) -> None:
    nats_server, postgres, objects = await asyncio.gather(
        start_nats(tmp_path, port=taken, monitoring_port=0),
        start_postgres(tmp_path, port=taken),
        start_s3(tmp_path, port=taken),
    )
    for running in (nats_server.server, postgres.server, objects.server):
        assert taken not in running.ports.values()
        await running.stop()


async def test_a_free_port_is_used_as_wished(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        wished = listener.getsockname()[1]
    nats_server = await start_nats(tmp_path, port=wished, monitoring_port=0)
    assert nats_server.url.endswith(f"@{LOOPBACK}:{wished}")
    await nats_server.server.stop()


async def test_a_port_lost_between_choice_and_bind_is_chosen_again(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = ports.choose
    choices: list[dict[str, int]] = []

    def choose(wished: Mapping[str, int], with_companion: Collection[str]) -> dict[str, int]:
        chosen = really(wished, with_companion)
        choices.append(chosen if choices else {**chosen, "sql": taken})
        return choices[-1]

    monkeypatch.setattr(ports, "choose", choose)
    postgres = await start_postgres(tmp_path, port=0)
    assert len(choices) == 2
    assert await _may_connect(postgres.url)
    await postgres.server.stop()


async def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = await start_nats(tmp_path, port=0, monitoring_port=0)
    with pytest.raises(Misconfigured, match="another process runs nats on this folder"):
        await start_nats(tmp_path, port=0, monitoring_port=0)
    await first.server.stop()


async def test_a_server_that_cannot_start_says_what_its_log_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats, "PAYLOAD_BYTES_MAX", "a lot")
    with pytest.raises(Unavailable, match="set NATS_URL to use a server of your own") as refused:
        await start_nats(tmp_path, port=0, monitoring_port=0)
    assert "nats.conf" in str(refused.value.facts["last_lines"])
    monkeypatch.undo()
    # The folder is free again after a failed start.
    started = await start_nats(tmp_path, port=0, monitoring_port=0)
    await started.server.stop()


async def test_a_missing_wheel_is_named_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(Misconfigured, match=r"install hanzo-studio\[embedded\]"):
        await start_nats(tmp_path, port=0, monitoring_port=0)


async def test_nobody_gets_in_without_the_secrets(tmp_path: Path) -> None:
    postgres, objects = await asyncio.gather(
        start_postgres(tmp_path, port=0), start_s3(tmp_path, port=0)
    )
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(_with_password(postgres.url, "guessed"))
    guesser = client(replace(objects.access, secret_key="guessed"))
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        guesser.list_buckets()
    await asyncio.gather(postgres.server.stop(), objects.server.stop())


@pytest.fixture(scope="module")
def kept(keeper: Keeper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """Give an S3 server with an object in it."""
    objects = keeper.run(start_s3(tmp_path_factory.mktemp("kept"), port=0))
    probes.keep_in_s3(objects.access)
    yield objects
    keeper.run(objects.server.stop())


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("filer", "/"),
        ("filer", "/buckets/kept/kept"),
        ("master", "/dir/assign"),
        ("master", f"/col/delete?collection={probes.BUCKET}"),
        ("volume", "/1,0123456789"),
    ],
)
def test_the_inner_http_ports_of_s3_do_nothing_for_a_stranger(
    kept: S3, part: str, path: str
) -> None:
    inner = f"http://{LOOPBACK}:{kept.server.ports[part]}{path}"
    with pytest.raises(urllib.request.HTTPError, match=r"40[14]"):
        urllib.request.urlopen(inner, None, 30)
    assert probes.kept_in_s3(kept.access)


async def test_the_inner_grpc_ports_of_s3_hang_up_without_the_certificate(tmp_path: Path) -> None:
    objects = await start_s3(tmp_path, port=0)
    stranger = ssl.create_default_context()
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    stranger.set_alpn_protocols(["h2"])
    for part in ("master_grpc", "volume_grpc", "filer_grpc", "s3_grpc"):
        port = objects.server.ports[part]
        reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=stranger)
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            await reader.read()
        writer.close()
    await objects.server.stop()


async def test_secrets_are_private_and_never_shown(tmp_path: Path) -> None:
    objects = await start_s3(tmp_path, port=0)
    await objects.server.stop()
    assert objects.access.secret_key not in repr(objects)
    for path in (tmp_path / "s3").iterdir():
        assert path.is_socket() or not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


async def test_s3_listens_on_loopback_only_and_reports_nowhere(tmp_path: Path) -> None:
    objects = await start_s3(tmp_path, port=0)
    program = _program_of(objects.server.pid)
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"} <= set(program)
    # On Linux loopback has many addresses; a listener on all of them would answer on this one.
    for port in objects.server.ports.values():
        with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
            elsewhere.connect(("127.0.0.2", port))
    await objects.server.stop()
    assert objects.access.region == s3.REGION


def _program_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


async def _may_connect(url: str) -> bool:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.close()
    return True


def _with_password(url: str, password: str) -> str:
    user, _, address = url.replace("+asyncpg", "").partition("@")
    return f"{user.rpartition(':')[0]}:{password}@{address}"
