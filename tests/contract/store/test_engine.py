"""The way to PostgreSQL."""

from __future__ import annotations

import asyncio
import socket

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from libs.core.errors import Misconfigured, Unavailable
from libs.store import catalogue
from libs.store.engine import healthy, make_engine, migrate, reading, writing
from libs.store.metadata import METADATA


async def test_several_processes_may_migrate_at_once(fresh_database):
    await asyncio.gather(*(migrate(fresh_database) for _ in range(4)))
    engine = make_engine(fresh_database)
    async with reading(engine) as connection:
        versions = (await connection.scalars(text("SELECT version_num FROM alembic_version"))).all()
    await engine.dispose()
    assert versions == ["0010"]


async def test_the_migrations_make_exactly_the_tables_that_the_code_names(database):
    assert set(METADATA.tables.values()) == set(catalogue.TABLES)
    async with reading(database) as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), METADATA)
        )
    names = [entry for entry in differences if "alembic_version" not in str(entry)]
    assert names == []


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
async def test_every_spelling_of_the_url_opens_the_same_database(fresh_database, scheme):
    engine = make_engine(f"{scheme}{fresh_database[fresh_database.index('://') :]}")
    assert await healthy(engine)
    await engine.dispose()


@pytest.mark.parametrize("url", ["", "not a url", "mysql://here/db", "sqlite://"])
def test_a_url_that_is_none_of_ours_is_misconfigured(url):
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        make_engine(url)


async def test_a_wrong_password_is_misconfigured_and_names_the_setting(fresh_database):
    head, _, tail = fresh_database.partition("@")
    engine = make_engine(f"{head}-wrong@{tail}")
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        async with reading(engine):
            pass
    await engine.dispose()


async def test_a_missing_database_is_misconfigured(fresh_database):
    engine = make_engine(f"{fresh_database}_gone")
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        async with reading(engine):
            pass
    await engine.dispose()


async def test_a_server_that_is_not_there_is_unavailable():
    with socket.socket() as bound_but_deaf:
        bound_but_deaf.bind(("127.0.0.1", 0))
        port = bound_but_deaf.getsockname()[1]
    engine = make_engine(f"postgresql://a:b@127.0.0.1:{port}/c")
    with pytest.raises(Unavailable):
        async with writing(engine):
            pass
    assert not await healthy(engine)
    await engine.dispose()


async def test_a_connection_that_was_cut_is_unavailable_and_the_next_one_works(database):
    with pytest.raises(Unavailable):
        async with reading(database) as connection:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert await healthy(database)
