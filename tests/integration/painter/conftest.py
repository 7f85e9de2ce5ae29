"""A Painter in front of a gateway for each test; whoever else there is speaks by events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.store.engine import make_engine, migrate
from tests.integration.painter.studio import Studio, open_studio


@pytest.fixture
async def engine(fresh_database: str) -> AsyncIterator[AsyncEngine]:
    """Give an engine of a database of this test's own."""
    await migrate(fresh_database)
    made = make_engine(fresh_database)
    yield made
    await made.dispose()


@pytest.fixture
async def studio(engine: AsyncEngine) -> AsyncIterator[Studio]:
    """Give a Painter whose gateway is in mode `local`, and a fleet with the demo model."""
    async with open_studio(engine) as studio:
        yield studio


@pytest.fixture
async def guarded(engine: AsyncEngine) -> AsyncIterator[Studio]:
    """Give a Painter whose gateway wants keys."""
    async with open_studio(engine, auth="keys") as studio:
        yield studio
