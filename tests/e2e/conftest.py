"""One house for all tests that only talk to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.houses import ROOT, House, house

PLUGGED = ROOT / "tests/semantics/plugged"
PACKS = ROOT / "tests/data/paged_packs"


@pytest.fixture(scope="session")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run one house for the whole session, with the test nodes of `tests.semantics` plugged in.

    Runs of profile fast are executed beside each other; there is a node pack with a page.
    """
    home = tmp_path_factory.mktemp("house") / "home"
    given = {"STUDIO_WORKER_BATCH": "3", "STUDIO_WORKER_NODE_PACKS": str(PACKS)}
    with house(home, **given, PYTHONPATH=f"{PLUGGED}:{ROOT}") as running:
        yield running


@pytest.fixture
def api(shared_house: House) -> Iterator[httpx.Client]:
    """Talk to the shared house."""
    with shared_house.client() as client:
        yield client


@pytest.fixture
def demo_graph() -> dict[str, Any]:
    """Return the graph of the demo model."""
    path: Path = ROOT / "libs" / "weights" / "demo" / "graph.json"
    return dict(json.loads(path.read_text()))
