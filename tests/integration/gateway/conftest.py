"""A house for each test: MemoryBus and friends, real PostgreSQL, a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.store.engine import make_engine, migrate
from tests.integration.gateway.house import House, open_house


@pytest.fixture
async def engine(fresh_database: str) -> AsyncIterator[AsyncEngine]:
    """Give an engine of a database of this test's own."""
    await migrate(fresh_database)
    made = make_engine(fresh_database)
    yield made
    await made.dispose()


@pytest.fixture
async def house(engine: AsyncEngine) -> AsyncIterator[House]:
    """Give a house in mode `local`."""
    async with open_house(engine) as house:
        yield house
