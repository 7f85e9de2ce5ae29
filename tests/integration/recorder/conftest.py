"""A recorder on a bus in memory and a database of the test's own."""

from __future__ import annotations

from tests.contract.store.conftest import database

__all__ = ["database"]
