"""An engine on a database of the test's own, with all tables."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.store.engine import make_engine, migrate


@pytest.fixture
async def database(fresh_database: str) -> AsyncIterator[AsyncEngine]:
    await migrate(fresh_database)
    engine = make_engine(fresh_database)
    yield engine
    await engine.dispose()
