"""`studio audit` on given servers: what it says, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from libs.chassis.embedded.nats import start_nats
from libs.store.engine import make_engine
from tests.e2e.houses import ROOT, environment
from tests.integration.recorder.house import tamper
from tests.integration.recorder.sound import Sound, copy_url, sound
from tests.servers import Keeper

__all__ = ["copy_url", "sound"]

NOBODY = "postgresql://a:b@127.0.0.1:1/c"


@pytest.fixture
def audit(copy_url: str, sound: Sound, tmp_path: Path):
    """Give `studio audit` with the servers of the sound archive."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        servers = {"DATABASE_URL": copy_url, "NATS_URL": sound.settings.nats_url}
        return subprocess.run(
            [sys.executable, "-m", "services.cli", "audit", *arguments],
            cwd=ROOT,
            env=environment(tmp_path) | servers | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def spoil(keeper: Keeper, copy_url: str):
    """Give a way to change the database behind the house's back."""

    async def change(statement: str) -> None:
        engine = make_engine(copy_url)
        await tamper(engine, statement)
        await engine.dispose()

    return lambda statement: keeper.run(change(statement))


def test_a_sound_archive_ends_with_0_and_tells_its_tip(audit, sound: Sound):
    told = audit("verify")
    assert told.returncode == 0, told.stderr
    assert f"holds, 1 to {sound.events}" in told.stdout
    assert "sound" in told.stdout.splitlines()[-1]
    assert "\x1b[" not in told.stdout + told.stderr
    tip = next(line.split()[1] for line in told.stdout.splitlines() if line.startswith("tip"))
    assert audit("verify", "--known", tip, "--no-stream").returncode == 0
    other = f"{sound.events}:{'0' * 64}"
    assert audit("verify", "--known", other, "--no-stream").returncode == 1


def test_a_spoilt_archive_ends_with_1_and_names_the_row(audit, spoil):
    spoil("DELETE FROM event_log WHERE seq = 57")
    told = audit("verify")
    assert told.returncode == 1
    assert "EVENTS 57" in told.stdout
    assert "row missing" in told.stdout
    answer = json.loads(audit("verify", "--json").stdout)
    assert answer["sound"] is False
    fault = answer["checks"][0]["fault"]
    assert (fault["seq"], fault["wrong"]) == (57, "row missing")
    assert fault["type"]


def test_read_models_that_follow_end_with_0_and_leave_nothing(audit, spoil):
    answer = json.loads(audit("rebuild", "--json").stdout)
    assert (answer["sound"], answer["schema"]) == (True, "")
    assert {table["living"] == table["rebuilt"] for table in answer["tables"]} == {True}


def test_a_read_model_that_does_not_follow_ends_with_1_and_is_named(audit, spoil):
    spoil("UPDATE prompts SET tier = 'pro' WHERE state = 'ended'")
    told = audit("rebuild")
    assert told.returncode == 1
    (line,) = [line for line in told.stdout.splitlines() if "DIFFERS" in line]
    assert line.startswith("prompts")
    assert line.rstrip().endswith(": tier")


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (("verify", "--known", "12"), {}, "64 hexadecimal"),
        (("verify", "--sideways"), {}, "No such option"),
        (("verify", "--no-stream"), {"DATABASE_URL": NOBODY}, "correct DATABASE_URL"),
        (("rebuild",), {"DATABASE_URL": NOBODY}, "correct DATABASE_URL"),
        (("rebuild",), {"DATABASE_URL": "mysql://here/db"}, "must begin with postgresql://"),
        (("verify",), {"NATS_URL": "", "DATABASE_URL": ""}, "studio up"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_says_what_to_do(audit, arguments, settings, words):
    told = audit(*arguments, **settings)
    assert told.returncode == 2
    assert words in told.stderr
    assert "Traceback" not in told.stderr


def test_a_database_without_an_archive_ends_with_2_and_says_what_to_do(audit, fresh_database):
    told = audit("rebuild", DATABASE_URL=fresh_database)
    assert told.returncode == 2
    assert "studio provision" in told.stderr


def test_a_server_without_our_stream_ends_with_2_and_says_what_to_do(
    audit, keeper: Keeper, tmp_path: Path
):
    nats = keeper.run(start_nats(tmp_path / "new", port=0, monitoring_port=0))
    told = audit("verify", NATS_URL=nats.url)
    keeper.run(nats.server.stop())
    assert told.returncode == 2
    assert "studio provision" in told.stderr
