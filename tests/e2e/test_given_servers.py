"""Any of the three servers is replaced by a URL, with no other change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from libs.chassis.embedded.s3 import S3Access
from tests.e2e.houses import house
from tests.e2e.watching import Watcher, submit, tiny_graph


@pytest.mark.covers("R317", "R318", "R319")
@pytest.mark.timeout(300)
def test_a_house_on_given_servers_starts_none_of_its_own(
    tmp_path: Path, nats_url: str, fresh_database: str, s3_settings: S3Access, bucket: str
):
    given = {
        "NATS_URL": nats_url,
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
