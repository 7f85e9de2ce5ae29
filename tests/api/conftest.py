"""A whole house on real servers, for those who only talk to its port.

STUDIO_TEST_HOUSE names one that runs already, STUDIO_TEST_PAINTER its Painter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.houses import house


@dataclass(frozen=True)
class Urls:
    """Where a house answers."""

    api: str
    painter: str


@pytest.fixture(scope="session")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    """Give the addresses of a house of this session."""
    if given := os.environ.get("STUDIO_TEST_HOUSE"):
        yield Urls(given, os.environ.get("STUDIO_TEST_PAINTER", "http://127.0.0.1:3035"))
        return
    home = tmp_path_factory.mktemp("api") / "home"
    with house(home, STUDIO_GATEWAY_SETTLE_SECONDS="0.2") as running:
        yield Urls(running.url, running.told["painter"])


@pytest.fixture(scope="session")
def api_url(urls: Urls) -> str:
    """Give the URL of the API."""
    return urls.api


@pytest.fixture(scope="session")
def painter_url(urls: Urls) -> str:
    """Give the URL of Painter."""
    return urls.painter
