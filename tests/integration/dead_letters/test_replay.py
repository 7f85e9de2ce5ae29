"""A letter that a service gave up over a fault is handled once the fault is mended."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from libs.bus.base import Reactor
from libs.chassis.resources import open_resources, provision
from libs.chassis.service import Resources
from libs.events.base import Event, subject, subject_of
from libs.events.envelope import Cause, Recorded
from libs.events.ledger import CreditsGranted, CreditsHeld
from libs.settings import Settings
from services.billing.main import build
from tests.e2e.houses import ROOT, environment
from tests.unit.services.scheduler import told

SECONDS_MAX = 60


@pytest.fixture
def tenant() -> str:
    """Name a tenant of this test's own: the stream is shared."""
    return f"t{uuid4().hex}"


@pytest.fixture
async def resources(studio_settings: Settings) -> AsyncIterator[Resources]:
    key = SecretStr(base64.b64encode(os.urandom(32)).decode())
    settings = studio_settings.model_copy(update={"master_key": key})
    await provision(settings)
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(open_resources(settings, "billing"))


@pytest.fixture
def studio(resources: Resources, tmp_path: Path):
    """Give `studio dead-letters` with the servers of this test."""
    settings = resources.settings
    servers = {
        "NATS_URL": settings.nats_url,
        "DATABASE_URL": settings.database_url,
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "S3_OUTPUT_BUCKET": settings.s3_output_bucket,
        "STUDIO_MASTER_KEY": settings.master_key.get_secret_value(),
    }

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "services.cli", "dead-letters", *arguments],
            cwd=ROOT,
            env=environment(tmp_path) | servers,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )

    return run


async def give_up_on(resources: Resources, tenant: str, event: Event) -> None:
    """Write an event and let a billing that has a fault give it up."""

    async def faulty(recorded: Recorded[Event]) -> None:
        if recorded.tenant == tenant:
            raise KeyError("a fault of today")

    for one in (told.submitted, event):
        await resources.bus.journal.append(tenant, [one], 0, Cause())
    reactor = Reactor(
        name="billing",
        filters=build(resources).filters(),
        handler=faulty,
        deliver_max=1,
    )
    reacting = asyncio.create_task(resources.bus.react(reactor))
    async with asyncio.timeout(SECONDS_MAX):
        while not await given_up(resources, tenant):  # noqa: ASYNC110  It lies on the server.
            await asyncio.sleep(0.05)
    reacting.cancel()
    await asyncio.gather(reacting, return_exceptions=True)


async def given_up(resources: Resources, tenant: str) -> bool:
    letters = await resources.bus.kept_letters(1_000)
    return tenant in {letter.tenant for letter in letters}


async def ledger(resources: Resources, tenant: str) -> list[Event]:
    loaded = await resources.bus.journal.load(
        subject(tenant, CreditsHeld.kind, told.validated().account)
    )
    return [recorded.event for recorded in loaded.events]


async def listed(studio: Any, tenant: str) -> list[dict[str, Any]]:
    shown = await studio("list", "--json")
    assert shown.returncode == 0, shown.stderr
    letters: list[dict[str, Any]] = json.loads(shown.stdout)
    return [letter for letter in letters if letter["tenant"] == tenant]


@pytest.mark.timeout(300)
async def test_a_replay_does_what_the_service_would_have_done_and_removes_the_letter(
    resources: Resources, tenant: str, studio
):
    await give_up_on(resources, tenant, told.validated())
    (letter,) = await listed(studio, tenant)
    assert (letter["service"], letter["reason"]) == ("billing", "KeyError")
    assert await ledger(resources, tenant) == []

    again = await studio("replay", str(letter["no"]))
    assert again.returncode == 0, again.stderr
    assert "billing has handled it" in again.stdout
    events = await ledger(resources, tenant)
    assert [type(event) for event in events] == [CreditsGranted, CreditsHeld]
    assert await listed(studio, tenant) == []

    gone = await studio("replay", str(letter["no"]))
    assert gone.returncode == 1
    assert "no such dead letter" in gone.stderr
    assert await ledger(resources, tenant) == events


@pytest.mark.timeout(300)
async def test_a_replay_of_what_was_handled_after_all_changes_nothing(
    resources: Resources, tenant: str, studio
):
    await give_up_on(resources, tenant, told.validated())
    loaded = await resources.bus.journal.load(subject_of(tenant, told.validated()))
    await build(resources).handle(loaded.events[0])
    before = await ledger(resources, tenant)
    (letter,) = await listed(studio, tenant)
    assert (await studio("replay", str(letter["no"]))).returncode == 0
    assert await ledger(resources, tenant) == before
    assert await listed(studio, tenant) == []
