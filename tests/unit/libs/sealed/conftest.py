"""Both vaults under one suite: in memory, and on a real PostgreSQL."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from libs.artifacts.memory import MemoryArtifacts
from libs.sealed.vault import KeyedVault, MemoryVault, PostgresVault
from libs.store.engine import make_engine, migrate

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()


@dataclass
class Safe:
    """A vault and the artifacts behind it."""

    vault: KeyedVault
    artifacts: MemoryArtifacts


@pytest.fixture(params=["memory", "postgres"])
async def safe(request: pytest.FixtureRequest) -> AsyncIterator[Safe]:
    artifacts = MemoryArtifacts()
    if request.param == "memory":
        yield Safe(MemoryVault(artifacts), artifacts)
        return
    url: str = request.getfixturevalue("fresh_database")
    await migrate(url)
    engine = make_engine(url)
    yield Safe(PostgresVault(engine, artifacts, MASTER_KEY), artifacts)
    await engine.dispose()
