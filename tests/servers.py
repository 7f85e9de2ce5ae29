"""Real NATS, PostgreSQL and S3 for tests: one of each per pytest session, started when asked for.

NATS_URL, DATABASE_URL or S3_ENDPOINT (with S3_ACCESS_KEY, S3_SECRET_KEY, S3_REGION) in the
environment name servers to use instead. STUDIO_TEST_SERVERS=containers starts those that are
not named as containers; otherwise they come out of our own wheels.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import TimeoutError as WaitedTooLong
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from pydantic import SecretStr

from libs.chassis.embedded.nats import start_nats
from libs.chassis.embedded.postgres import start_postgres
from libs.chassis.embedded.s3 import S3Access, client, start_s3
from libs.settings import Settings
from tests import containers

T = TypeVar("T")
CALL_SECONDS = 60


class Keeper:
    """A thread with an event loop that lives as long as the session.

    Servers end when the thread that started them ends, and tests bring loops of their own.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run one call on the keeper's loop and wait for it, within a bound."""
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result(CALL_SECONDS)
        except WaitedTooLong:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    """Keep the embedded servers of this session."""
    keeper = Keeper()
    yield keeper
    keeper.close()


@pytest.fixture(scope="session")
def servers_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of this session's embedded servers."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def nats_url(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a NATS server with JetStream."""
    if given := os.environ.get("NATS_URL"):
        yield given
        return
    if containers.kind_of_servers() == "containers":
        with containers.running(containers.NATS) as address:
            yield containers.nats_url_at(address)
        return
    home: Path = request.getfixturevalue("servers_home")
    nats = keeper.run(start_nats(home, port=0, monitoring_port=0))
    yield nats.url
    keeper.run(nats.server.stop())


@pytest.fixture(scope="session")
def database_url(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a PostgreSQL database; see `fresh_database` for one of your own."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    if containers.kind_of_servers() == "containers":
        with containers.running(containers.POSTGRES) as address:
            yield containers.database_url_at(address)
        return
    home: Path = request.getfixturevalue("servers_home")
    postgres = keeper.run(start_postgres(home, port=0))
    for word in ("fsync", "full_page_writes", "synchronous_commit"):
        # Nothing here outlives the session; on a disk each DROP DATABASE would take a second.
        keeper.run(_execute(postgres.url, f"ALTER SYSTEM SET {word} = off"))
    keeper.run(_execute(postgres.url, "SELECT pg_reload_conf()"))
    yield postgres.url
    keeper.run(postgres.server.stop())


@pytest.fixture(scope="session")
def s3_settings(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[S3Access]:
    """Give endpoint, access_key, secret_key and region of an S3 server."""
    if given := os.environ.get("S3_ENDPOINT"):
        yield S3Access(
            endpoint=given,
            access_key=os.environ["S3_ACCESS_KEY"],
            secret_key=os.environ["S3_SECRET_KEY"],
            region=os.environ.get("S3_REGION", "us-east-1"),
        )
        return
    if containers.kind_of_servers() == "containers":
        with containers.running(containers.S3) as address:
            yield containers.s3_access_at(address)
        return
    home: Path = request.getfixturevalue("servers_home")
    s3 = keeper.run(start_s3(home, port=0))
    yield s3.access
    keeper.run(s3.server.stop())


@pytest.fixture
def fresh_database(keeper: Keeper, database_url: str) -> Iterator[str]:
    """Give the URL of an empty database of this test's own; dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    keeper.run(_execute(database_url, f'CREATE DATABASE "{name}"'))
    yield f"{database_url.rpartition('/')[0]}/{name}"
    keeper.run(_execute(database_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def bucket(s3_settings: S3Access) -> Iterator[str]:
    """Give a bucket name of this test's own; the test makes the bucket, we remove it."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    _remove_bucket(s3_settings, name)


@pytest.fixture
def studio_settings(
    nats_url: str, fresh_database: str, s3_settings: S3Access, bucket: str
) -> Settings:
    """Give settings that point at all three servers."""
    return Settings(
        nats_url=nats_url,
        database_url=fresh_database,
        s3_endpoint=s3_settings.endpoint,
        s3_access_key=s3_settings.access_key,
        s3_secret_key=SecretStr(s3_settings.secret_key),
        s3_region=s3_settings.region,
        s3_output_bucket=bucket,
    )


async def _execute(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", "", 1))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _remove_bucket(access: S3Access, name: str) -> None:
    s3 = client(access)
    if name not in {found["Name"] for found in s3.list_buckets()["Buckets"]}:
        return
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name)
    for key in (found["Key"] for page in pages for found in page.get("Contents", [])):
        s3.delete_object(Bucket=name, Key=key)
    s3.delete_bucket(Bucket=name)
