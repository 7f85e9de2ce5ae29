"""A whole house on real servers, for those who only talk to its port.

STUDIO_TEST_HOUSE names one that runs already.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.houses import house


@pytest.fixture(scope="session")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a house of this session."""
    if given := os.environ.get("STUDIO_TEST_HOUSE"):
        yield given
        return
    home = tmp_path_factory.mktemp("api") / "home"
    with house(home, STUDIO_GATEWAY_SETTLE_SECONDS="0.2") as running:
        yield running.url
