"""The three servers together: one house per folder, kept running, gone when it is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import nats
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from libs.chassis.embedded import home
from libs.chassis.embedded.child import Identity
from libs.chassis.embedded.house import USUAL_PORTS, EmbeddedServers
from libs.chassis.embedded.postgres import start_postgres
from libs.chassis.embedded.s3 import S3Access
from libs.core.errors import Misconfigured, StudioError
from libs.settings import Settings
from tests.integration.embedded import probes
from tests.integration.embedded.other_user import folder_open_to_all, reachable_python

ANY_PORTS = dict.fromkeys(USUAL_PORTS, 0)
BACK_SECONDS = 60
STOP_SECONDS = 20
QUESTION_SECONDS = 10


async def test_a_killed_server_comes_back_with_its_port_and_its_data(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path, wished_ports=ANY_PORTS)
    async with servers as addresses:
        access = S3Access(addresses.s3_endpoint, addresses.s3_access_key, addresses.s3_secret_key)
        await probes.keep_on_nats(addresses.nats_url)
        await probes.keep_in_postgres(addresses.database_url)
        await asyncio.to_thread(probes.keep_in_s3, access)
        before = dict(servers.pids)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        assert await probes.until_true(lambda: _all_are_new(before, servers), BACK_SECONDS)
        assert await _comes_true(lambda: probes.kept_on_nats(addresses.nats_url))
        assert await _comes_true(lambda: probes.kept_in_postgres(addresses.database_url))
        assert await _comes_true(lambda: asyncio.to_thread(probes.kept_in_s3, access))
        assert not servers.failed.done()


async def test_a_server_that_keeps_dying_is_given_up_and_says_so(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path, {"nats"}, wished_ports=ANY_PORTS)
    async with servers:
        killed: set[int] = set()
        while not servers.failed.done():
            if (pid := servers.pids["nats"]) not in killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.02)
        error = servers.failed.result()
    assert isinstance(error, StudioError)
    assert "nats keeps dying" in str(error)
    assert len(killed) == 6


async def test_only_the_wanted_servers_are_started(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path, {"nats"}, wished_ports=ANY_PORTS)
    async with servers as addresses:
        assert set(servers.pids) == {"nats"}
        assert addresses.database_url == addresses.s3_endpoint == ""
        assert set(addresses.environment()) == {"NATS_URL"}


async def test_a_second_house_on_the_folder_is_told_who_has_it(tmp_path: Path) -> None:
    async with EmbeddedServers(tmp_path, {"nats"}, wished_ports=ANY_PORTS):
        with pytest.raises(Misconfigured, match=r"already running.*STUDIO_HOME") as refused:
            async with EmbeddedServers(tmp_path, {"nats"}, wished_ports=ANY_PORTS):
                raise AssertionError("two houses on one folder")
        assert refused.value.facts == {"folder": str(tmp_path), "pid": os.getpid()}
        # The refused one must not have taken down what the first one told.
        assert home.find(tmp_path) is not None


async def test_a_failed_start_leaves_nothing_running_and_the_folder_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.chassis.embedded.s3.MEMORY_LIMIT", "nonsense")
    before = probes.children()
    with pytest.raises(StudioError, match="s3 did not start"):
        async with EmbeddedServers(tmp_path, wished_ports=ANY_PORTS):
            raise AssertionError("a house without S3")
    assert probes.children() == before
    assert home.find(tmp_path) is None
    monkeypatch.undo()
    async with EmbeddedServers(tmp_path, {"nats"}, wished_ports=ANY_PORTS):
        pass


def test_settings_of_another_process_come_from_the_running_house(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with probes.house_process(tmp_path) as told:
        house = home.find(tmp_path)
        assert house is not None
        assert house.process.pid == told.process.pid
        for name, value in house.addresses.environment().items():
            monkeypatch.setenv(name, value)
        settings = Settings()
        assert settings.database_url == told.addresses["database_url"]
        assert settings.s3_secret_key.get_secret_value() == told.addresses["s3_secret_key"]
        note = tmp_path / "run" / "house.json"
        assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert home.find(tmp_path) is None
    assert not note.exists()


def test_a_clean_stop_is_quick_and_leaves_no_process(tmp_path: Path) -> None:
    with probes.house_process(tmp_path) as told:
        servers = told.servers()
        began = time.monotonic()
        told.process.send_signal(signal.SIGTERM)
        assert told.process.wait(STOP_SECONDS) == 0
        assert time.monotonic() - began < STOP_SECONDS
        assert not [one for one in servers if one.is_alive()]


def test_the_terminals_interrupt_reaches_the_house_and_not_its_servers(tmp_path: Path) -> None:
    with probes.house_process(tmp_path) as told:
        groups = {os.getpgid(pid) for pid in told.pids.values()}
        assert os.getpgid(told.process.pid) not in groups
        os.killpg(told.process.pid, signal.SIGINT)
        assert told.process.wait(STOP_SECONDS) == 0
    log = (tmp_path / "logs" / "postgres.log").read_text()
    assert log.count("received fast shutdown request") == 1


def test_a_killed_house_takes_its_servers_with_it_and_the_next_one_finds_the_data(
    tmp_path: Path,
) -> None:
    with probes.house_process(tmp_path) as told:
        servers = told.servers()
        asyncio.run(probes.keep_in_postgres(told.addresses["database_url"]))
        told.process.kill()
        told.process.wait()
        assert home.find(tmp_path) is None
        # The next house does not wait for the old servers to be gone.
        with probes.house_process(tmp_path) as next_house:
            url = next_house.addresses["database_url"]
            assert asyncio.run(probes.kept_in_postgres(url))
            assert probes.gone(servers, STOP_SECONDS)


def test_a_killed_house_leaves_no_orphans(tmp_path: Path) -> None:
    with probes.house_process(tmp_path) as told:
        servers = told.servers()
        told.process.kill()
        assert probes.gone(servers, STOP_SECONDS)


@pytest.mark.parametrize("user", [65534, 54321], ids=["named", "a number without a name"])
def test_an_ordinary_user_runs_a_house_in_a_closed_home(user: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a process as another user")
    with folder_open_to_all() as folder:
        private = folder / "private"
        private.mkdir(mode=0o700)
        os.chown(private, user, user)
        with probes.house_process(
            private / "home", python=reachable_python(folder), user=user
        ) as told:
            assert asyncio.run(_keeps(told.addresses["database_url"]))
            owners = {Path(f"/proc/{pid}").stat().st_uid for pid in told.pids.values()}
            assert owners == {user}
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


@pytest.mark.parametrize("first", ["nobody", "uid"])
async def test_root_runs_postgres_in_a_closed_home_and_opens_no_folder(
    tmp_path: Path, first: Identity
) -> None:
    if os.geteuid() != 0:
        pytest.skip("this is about root; the other tests run PostgreSQL as an ordinary user")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    above = [closed, *closed.parents]
    modes = [folder.stat().st_mode for folder in above]
    turns: tuple[Identity, ...] = (first, "nobody", "uid")
    for identity in turns:
        postgres = await start_postgres(closed / "home", port=0, identity=identity)
        assert await _keeps(postgres.url)
        await postgres.server.stop()
    assert [folder.stat().st_mode for folder in above] == modes


def _all_are_new(before: dict[str, int], servers: EmbeddedServers) -> bool:
    return all(pid and pid != before[name] for name, pid in servers.pids.items())


async def _comes_true(question: Callable[[], Awaitable[bool]]) -> bool:
    """Ask until the server is back; a real answer is what counts."""
    until = time.monotonic() + BACK_SECONDS
    while True:
        try:
            return await asyncio.wait_for(question(), QUESTION_SECONDS)
        except (OSError, nats.errors.Error, asyncpg.PostgresError, BotoCoreError, ClientError):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)


async def _keeps(url: str) -> bool:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
    await connection.execute("INSERT INTO words VALUES ('kept')")
    count = await connection.fetchval("SELECT count(*) FROM words")
    await connection.close()
    return bool(count >= 1)
