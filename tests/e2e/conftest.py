"""One house for all tests that only talk to it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from tests.e2e.browsing import Studio, browser
from tests.e2e.crowding import Person, person
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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Give one browser to all."""
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def ada(shared_house: House, chromium: Browser) -> Iterator[Person]:
    """Give somebody with a window that has been nowhere yet."""
    with person(chromium, shared_house.url) as someone:
        # Panels that were left open would hide a part of the canvas.
        someone.api.post("/settings", json={"Comfy.RightSidePanel.IsOpen": False})
        yield someone


@pytest.fixture(scope="module")
def opened(ada: Person) -> tuple[Studio, float]:
    """Give the window that has just opened the house's address, and how long that took."""
    return ada.studio, ada.studio.open()


@pytest.fixture
def studio(opened: tuple[Studio, float]) -> Iterator[Studio]:
    """Give the window; whatever a user would call broken fails the test."""
    yield from _unbroken(opened[0])


@pytest.fixture
def demo(studio: Studio, api: httpx.Client) -> Studio:
    """Give the window with the demo's graph in it, made to run for a moment only."""
    studio.load(api.get("/templates/hanzo_demo.json").json(), "demo")
    studio.fit()
    studio.set("KSampler", steps=4, seed=random.randrange(2**40))
    return studio


@pytest.fixture(scope="module")
def bea(shared_house: House, chromium: Browser) -> Iterator[Person]:
    """Give somebody of another tenant with the editor open."""
    names = ("--tenant", "second", "--user", "bea", "--tier", "owner")
    told = shared_house.studio("keys", "create", *names, "--json").stdout
    with person(chromium, shared_house.url, json.loads(told)["token"]) as someone:
        someone.studio.open()
        yield someone


@pytest.fixture
def other(bea: Person) -> Iterator[Studio]:
    """Give the other window; nothing of it may be broken either."""
    yield from _unbroken(bea.studio)


def _unbroken(studio: Studio) -> Iterator[Studio]:
    yield studio
    assert studio.errors == studio.failed == []
    # Blobs and data have no host at all.
    assert studio.hosts <= {"127.0.0.1", ""}
