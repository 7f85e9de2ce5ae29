"""Without PostgreSQL prompts are taken in and executed; with it again nothing is missing."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import nats
import pytest

from libs.chassis.embedded.postgres import Postgres, start_postgres
from tests.e2e.houses import House, house, wait_until
from tests.e2e.letters import nats_url
from tests.e2e.settling import check, ended
from tests.e2e.watching import Watcher, submit, tiny_graph
from tests.servers import Keeper

PROMPTS = 12
SETTLED_SECONDS_MAX = 120


@pytest.fixture(scope="module")
def database(keeper: Keeper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Run a PostgreSQL server that the house was given, and does not start again."""
    started = keeper.run(start_postgres(tmp_path_factory.mktemp("postgres"), port=0))
    yield started
    keeper.run(started.server.stop())


@pytest.fixture(scope="module")
def archived(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a house on that server; its one user has had a prompt executed already."""
    home = tmp_path_factory.mktemp("archived") / "home"
    with house(home, DATABASE_URL=database.url) as running:
        with running.client() as api, Watcher(running) as watcher:
            watcher.until_end(submit(api, tiny_graph(), watcher.client_id))
        yield running


def submitted(api: httpx.Client, client_id: str) -> list[str]:
    """Submit PROMPTS prompts, every other one with a key; each must be accepted."""
    accepted = []
    for number in range(PROMPTS):
        headers = {"Idempotency-Key": uuid.uuid4().hex} if number % 2 else {}
        body = {"prompt": tiny_graph(number), "client_id": client_id}
        answer = api.post("/prompt", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        accepted.append(str(answer.json()["prompt_id"]))
    return accepted


def on_the_stream(target: House, prompt_ids: list[str]) -> bool:
    """Say whether every prompt has its end on the stream."""
    return asyncio.run(_last_words(nats_url(target.home), prompt_ids)) == {"RunEnded"}


async def _last_words(url: str, prompt_ids: list[str]) -> set[str]:
    client = await nats.connect(url)
    try:
        stream = client.jetstream()
        last = [
            await stream.get_last_msg("EVENTS", f"evt.v1.local.run.{prompt_id}")
            for prompt_id in prompt_ids
        ]
        return {json.loads(found.data or b"{}")["type"].rpartition(".")[2] for found in last}
    finally:
        await client.close()


def assert_nothing_is_missing(target: House, url: str, accepted: list[str]) -> None:
    wait_until(lambda: ended(url, accepted), SETTLED_SECONDS_MAX, "all are archived", pause=0.5)
    report = check(url, accepted)
    assert report.clean, report
    assert report.outcomes == {"succeeded": len(accepted)}
    with target.client() as api:
        for prompt_id in accepted:
            row = api.get(f"/history/{prompt_id}").json()[prompt_id]
            assert row["status"]["status_str"] == "success"
    verified = target.studio("audit", "verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.timeout(400)
def test_a_stopped_postgresql_stops_the_archive_and_not_the_acceptance(
    archived: House, database: Postgres, keeper: Keeper
):
    with archived.client() as api, Watcher(archived) as watcher:
        keeper.run(database.server.stop())
        try:
            accepted = submitted(api, watcher.client_id)
            wait_until(lambda: on_the_stream(archived, accepted), 120, "all end", pause=0.5)
            assert api.get("/readyz").status_code == 503
            while watcher.read()["type"] != "executing":
                pass
            told = {frame["type"] for frame in watcher.frames}
            assert not told & {"execution_success", "execution_error"}
        finally:
            keeper.run(database.server.restart())
        for prompt_id in accepted:
            assert "execution_success" in {f["type"] for f in watcher.until_end(prompt_id)}
    assert_nothing_is_missing(archived, database.url, accepted)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_postgresql_that_only_reads_is_waited_for(archived: House, database: Postgres):
    with archived.client() as api, Watcher(archived) as watcher:
        make_read_only(database.url, only="on")
        try:
            accepted = submitted(api, watcher.client_id)
            wait_until(lambda: on_the_stream(archived, accepted), 120, "all end", pause=0.5)
            picture = (Path(__file__).parents[1] / "fidelity/reference/c_cfg1.0.png").read_bytes()
            answer = api.post("/upload/image", files={"image": ("read-only.png", picture)})
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) >= 1
        finally:
            make_read_only(database.url, only="off")
        wait_until(lambda: ended(database.url, accepted), 60, "they are archived", pause=0.5)
    assert_nothing_is_missing(archived, database.url, accepted)


def make_read_only(url: str, *, only: str) -> None:
    """Let new connections only read, or read and write, and end the old ones."""
    asyncio.run(_make_read_only(url, only))


async def _make_read_only(url: str, only: str) -> None:
    connection = await asyncpg.connect(
        url.replace("+asyncpg", "", 1), server_settings={"default_transaction_read_only": "off"}
    )
    try:
        await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {only}")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    finally:
        await connection.close()
