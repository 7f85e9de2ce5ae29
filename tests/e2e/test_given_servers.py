"""Any of the three servers is replaced by a URL, with no other change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from libs.chassis.embedded.nats import Nats, start_nats
from libs.chassis.embedded.s3 import S3Access
from tests.e2e.houses import house
from tests.e2e.watching import Watcher, submit, tiny_graph
from tests.servers import Keeper


@pytest.fixture
def nats(keeper: Keeper, tmp_path: Path) -> Iterator[Nats]:
    """Give a NATS server of this test's own, which knows a user for each service."""
    nats = keeper.run(start_nats(tmp_path / "nats", port=0, monitoring_port=0))
    yield nats
    keeper.run(nats.server.stop())


def logins(nats: Nats) -> Counter[str]:
    """Return who is connected, and how often, as the server sees it."""
    connections = httpx.get(f"{nats.monitoring_url}/connz?auth=true", timeout=30).json()
    return Counter(one["authorized_user"] for one in connections["connections"])


@pytest.mark.covers("R317", "R318", "R319")
@pytest.mark.timeout(300)
def test_a_house_on_given_servers_starts_none_of_its_own_and_logs_in_as_who_it_is(
    tmp_path: Path, nats: Nats, fresh_database: str, s3_settings: S3Access, bucket: str
):
    passwords = {user: urlsplit(url).password or "" for user, url in nats.urls.items()}
    given = {
        "NATS_URL": f"nats://127.0.0.1:{urlsplit(nats.url).port}",
        "NATS_USER": "studio",
        "NATS_PASSWORD": passwords["studio"],
        "NATS_PASSWORD_HOUSE": passwords["house"],
        "NATS_PASSWORD_GPU_WORKER": passwords["gpu_worker"],
        "DATABASE_URL": fresh_database,
        "S3_ENDPOINT": s3_settings.endpoint,
        "S3_ACCESS_KEY": s3_settings.access_key,
        "S3_SECRET_KEY": s3_settings.secret_key,
        "S3_OUTPUT_BUCKET": bucket,
    }
    home = tmp_path / "home"
    with house(home, **given) as running, running.client() as api, Watcher(running) as watcher:
        assert set(running.told["pids"]) == {"house", "gpu_worker"}
        watcher.until_end(submit(api, tiny_graph(5), watcher.client_id))
        told = json.loads((home / "run" / "house.json").read_text())
        assert not told["addresses"]["nats_url"]
        assert set(logins(nats)) == {"house", "gpu_worker"}
