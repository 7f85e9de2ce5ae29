"""Provisioning creates what is missing, strengthens what is weak, and weakens nothing."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from libs.bus import connection
from libs.bus.connection import Connection
from libs.bus.jetstream import connect
from libs.bus.provisioning import provision, strengthened
from libs.bus.topology import StreamPlan, streams
from libs.core.errors import Misconfigured, Unavailable
from libs.core.jsonvalue import JsonObject
from libs.settings import Settings
from tests.contract.bus.conftest import OwnServer, World, at_empty
from tests.contract.bus.told import append, queued


@pytest.fixture
async def raw(own_nats: OwnServer):
    settings = await at_empty(own_nats)
    connection = Connection("tests", "raw")
    await connection.open(settings.nats_url)
    yield connection
    await connection.close()


def plan_of(name: str, **changes) -> StreamPlan:
    settings = Settings(events_max_mib=64).model_copy(update=changes)
    return next(plan for plan in streams(settings) if plan.name == name)


async def config_of(connection: Connection, name: str) -> JsonObject:
    return cast("JsonObject", (await connection.api(f"STREAM.INFO.{name}"))["config"])


async def test_the_log_of_events_keeps_what_it_acknowledged(raw: Connection):
    await provision(raw, streams(Settings(events_max_mib=64)))
    config = await config_of(raw, "EVENTS")
    assert config["discard"] == "new"
    assert config["deny_delete"]
    assert config["deny_purge"]
    assert config["allow_atomic"]
    assert config["storage"] == "file"
    assert not config.get("allow_direct")
    assert config["max_age"] == 7 * 24 * 3600 * 10**9
    assert config["max_bytes"] == 64 * 1024 * 1024


async def test_all_streams_and_buckets_are_made(raw: Connection):
    await provision(raw, streams(Settings(events_max_mib=64)))
    names = cast("list[str]", (await raw.api("STREAM.NAMES"))["streams"])
    assert set(names) == {"EVENTS", "PROGRESS", "PUBLIC", "DLQ", "KV_leaders", "KV_counters"}


async def test_provisioning_again_changes_nothing(jetstream: World):
    await append(jetstream.bus, queued("p1"))
    before = await jetstream.bus.state()
    await jetstream.bus.provision()
    assert await jetstream.bus.state() == before


async def test_two_processes_may_provision_at_once(own_nats: OwnServer):
    settings = await at_empty(own_nats)
    buses = [await connect(settings, f"p{number}") for number in range(3)]
    await asyncio.gather(*(bus.provision() for bus in buses))
    assert (await buses[0].state()).last_seq == 0
    for bus in buses:
        await bus.close()


async def test_a_weaker_stream_is_strengthened(raw: Connection):
    weak: JsonObject = {
        "name": "EVENTS",
        "subjects": ["evt.v1.>"],
        "storage": "file",
        "discard": "old",
        "max_bytes": 32 * 1024 * 1024,
        "max_age": 3600 * 10**9,
    }
    await raw.api("STREAM.CREATE.EVENTS", weak)
    await provision(raw, streams(Settings(events_max_mib=64)))
    config = await config_of(raw, "EVENTS")
    assert config["discard"] == "new"
    assert config["deny_delete"]
    assert config["max_bytes"] == 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"events_max_mib": 32}, "STUDIO_EVENTS_MAX_MIB"),
        ({"events_max_age_days": 1.0}, "STUDIO_EVENTS_MAX_AGE_DAYS"),
    ],
)
async def test_a_setting_that_asks_for_less_is_named(
    raw: Connection, changes: dict[str, float], setting: str
):
    before = Settings(events_max_mib=64)
    await provision(raw, streams(before))
    config = await config_of(raw, "EVENTS")
    with pytest.raises(Misconfigured, match=setting):
        await provision(raw, streams(before.model_copy(update=changes)))
    assert await config_of(raw, "EVENTS") == config


def test_fewer_copies_than_there_are_name_the_setting():
    found: JsonObject = plan_of("EVENTS", stream_replicas=3).config
    with pytest.raises(Misconfigured, match="STUDIO_STREAM_REPLICAS"):
        strengthened(plan_of("EVENTS", stream_replicas=1), found)


def test_another_kind_of_storage_is_not_changed_behind_anybodys_back():
    found: JsonObject = {**plan_of("EVENTS").config, "storage": "memory"}
    with pytest.raises(Misconfigured, match="storage"):
        strengthened(plan_of("EVENTS"), found)


def test_what_is_kept_longer_without_a_setting_stays_so():
    plan = plan_of("DLQ")
    found: JsonObject = {**plan.config, "max_age": 0}
    assert strengthened(plan, found)["max_age"] == 0


def test_subjects_that_somebody_added_stay():
    plan = plan_of("EVENTS")
    found: JsonObject = {**plan.config, "subjects": ["old.>"]}
    assert strengthened(plan, found)["subjects"] == ["old.>", "evt.v1.>"]


async def test_a_stream_that_cannot_fit_says_which_setting_to_change(own_nats: OwnServer):
    settings = (await at_empty(own_nats)).model_copy(update={"events_max_mib": 10**9})
    bus = await connect(settings, "tests")
    with pytest.raises(Misconfigured, match="STUDIO_EVENTS_MAX_MIB"):
        await bus.provision()
    await bus.close()


async def test_a_wrong_password_is_told_apart(own_nats: OwnServer):
    host = own_nats.url.rpartition("@")[2]
    with pytest.raises(Misconfigured, match="NATS_URL"):
        await connect(Settings(nats_url=f"nats://studio:wrong@{host}"), "tests")


async def test_without_a_url_nothing_starts():
    with pytest.raises(Misconfigured, match="NATS_URL"):
        await connect(Settings(nats_url=""), "tests")


async def test_a_server_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1)
    with pytest.raises(Unavailable, match="NATS_URL"):
        await connect(Settings(nats_url="nats://127.0.0.1:9"), "tests")
