"""Data keys in PostgreSQL: wrapped, made once, cached for minutes, gone when destroyed."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from sqlalchemy import select

from libs.artifacts.memory import MemoryArtifacts
from libs.core.errors import Misconfigured, NotFound
from libs.sealed.cipher import master_key_of, new_key
from libs.sealed.keys import CACHE_MAX, DataKey, KeyCache, PostgresKeys
from libs.sealed.vault import PostgresVault
from libs.store.engine import make_engine, migrate, reading
from libs.store.readmodels.data_keys import DATA_KEYS

MASTER = new_key()


def vault_on(engine, master: bytes = MASTER) -> PostgresVault:
    return PostgresVault(engine, MemoryArtifacts(), base64.b64encode(master).decode())


@pytest.fixture
async def engine(fresh_database):
    await migrate(fresh_database)
    engine = make_engine(fresh_database)
    yield engine
    await engine.dispose()


async def rows(engine) -> list[Any]:
    async with reading(engine) as connection:
        return list((await connection.execute(select(DATA_KEYS))).all())


async def test_many_processes_that_ask_at_once_make_one_key(engine):
    vaults = [vault_on(engine) for _ in range(12)]
    sealed = await asyncio.gather(*(vault.seal("acme", "ada", 1) for vault in vaults))
    assert len({one.kid for one in sealed}) == len(await rows(engine)) == 1


async def test_a_process_that_starts_later_opens_what_was_sealed_before(engine):
    sealed = await vault_on(engine).seal("acme", "ada", "words")
    assert await vault_on(engine).open("acme", sealed) == "words"


async def test_no_key_lies_in_the_database_in_the_clear(engine):
    keys = PostgresKeys(engine, MASTER)
    key = await keys.current("acme", "ada")
    (row,) = await rows(engine)
    assert key.secret not in row.wrapped


async def test_a_destroyed_key_leaves_its_row_without_the_key(engine):
    vault = vault_on(engine)
    sealed = await vault.seal("acme", "ada", "words")
    await vault.destroy("acme", "ada")
    (row,) = await rows(engine)
    assert (row.kid, row.wrapped) == (sealed.kid, None)
    with pytest.raises(NotFound):
        await vault_on(engine).open("acme", sealed)


async def test_another_master_key_is_misconfigured_and_says_what_to_do(engine):
    await vault_on(engine).check()
    sealed = await vault_on(engine).seal("acme", "ada", "words")
    await vault_on(engine).check()
    other = vault_on(engine, new_key())
    for attempt in (other.check(), other.open("acme", sealed), other.seal("acme", "ada", 1)):
        with pytest.raises(Misconfigured, match="STUDIO_MASTER_KEY"):
            await attempt


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(bytes(31)).decode(), "%" * 44])
def test_a_master_key_that_is_none_is_misconfigured(text):
    with pytest.raises(Misconfigured, match="base64 of 32"):
        master_key_of(text)


def test_a_cached_key_is_forgotten_after_minutes():
    clock = [0.0]
    cache = KeyCache(300, lambda: clock[0])
    cache.put(DataKey("k", b""), 0, "kid", "acme", "k")
    clock[0] = 299.0
    assert cache.get("kid", "acme", "k") == DataKey("k", b"")
    clock[0] = 300.0
    assert cache.get("kid", "acme", "k") is None


def test_a_key_that_was_read_before_a_destruction_is_not_cached_after_it():
    cache = KeyCache()
    seen = cache.drops
    cache.drop()
    cache.put(DataKey("k", b""), seen, "kid", "acme", "k")
    assert cache.get("kid", "acme", "k") is None


def test_the_cache_is_bounded():
    cache = KeyCache()
    for number in range(CACHE_MAX + 1):
        cache.put(DataKey(str(number), b""), 0, str(number))
    assert cache.get("0") is None
    assert cache.get(str(CACHE_MAX)) is not None
