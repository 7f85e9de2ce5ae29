"""Each user of a real NATS server may do what its service does, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from libs.bus.authorization import ALL_USERS
from libs.bus.base import Reactor
from libs.bus.connection import inbox_prefix
from libs.bus.jetstream import connect
from libs.bus.rights import HOUSE, OPERATOR, PROVISIONER, ROLES, USERS, kinds_of
from libs.bus.topology import streams
from libs.core.errors import Misconfigured
from libs.events.base import Event
from libs.events.catalogue import EVENTS
from libs.events.envelope import Cause
from libs.events.run import RunEnded
from libs.events.signals import RECORDED_SUBJECT
from libs.settings import Settings
from tests.contract.bus.conftest import OwnServer, World, at_empty
from tests.contract.bus.told import Notes, eventually, running
from tests.contract.golden_events.write import example_of

SERVICES = tuple(ROLES)
KINDS = tuple(sorted({event.kind for event in EVENTS.values()}))
STREAMS = tuple(plan.name for plan in streams(Settings()))
API = "$JS.API"
BODY: dict[str, Any] = {"name": "EVENTS", "subjects": ["evt.v1.>", "mine.>"]}


@dataclass
class Caller:
    """A plain client of one user, who hears what the server refuses it."""

    user: str
    client: Client
    refused: list[str] = field(default_factory=list)

    async def told(self, call: Any) -> str:
        """Return how the server refused a call; its answer to a ping comes after that."""
        self.refused.clear()
        await call
        # The client writes its first ping past what it still holds back.
        await self.client.flush()
        await self.client.flush()
        return "; ".join(self.refused)

    async def publish(self, subject: str, body: bytes = b"{}") -> str:
        return await self.told(self.client.publish(subject, body))

    async def subscribe(self, subject: str) -> str:
        return await self.told(self.client.subscribe(subject))

    async def ask(self, subject: str, body: Any = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else b""
        answer = await self.client.request(subject, data, timeout=5)
        return dict(json.loads(answer.data))


@pytest.fixture
async def server(own_nats: OwnServer, jetstream: World) -> OwnServer:
    """Give the server with all streams made."""
    return own_nats


@pytest.fixture
async def caller(request: pytest.FixtureRequest, server: OwnServer) -> AsyncIterator[Caller]:
    """Give a client of the user that the test names."""
    user: str = request.param
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error).lower())

    client = await nats.connect(
        server.nats.urls[user], error_cb=note, inbox_prefix=inbox_prefix(user)
    )
    yield Caller(user, client, refused)
    await client.close()


def as_every(*users: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("caller", users, indirect=True)


def example(cls: type[Event]) -> Event:
    data = json.loads(example_of(cls))["data"]
    ids = {name: f"{name}-1" for name in ("prompt_id", "worker_id", "account") if name in data}
    return cls.model_validate(data | ids)


def as_user(server: OwnServer, user: str) -> Settings:
    return Settings(nats_url=server.nats.urls[user])


@as_every(*SERVICES)
async def test_a_service_writes_its_own_kinds_and_no_other(caller: Caller, jetstream: World):
    written = 0
    for kind in KINDS:
        subject = f"evt.v1.acme.{kind}.p1"
        if kind in kinds_of(caller.user):
            written += 1
            assert (await caller.ask(subject))["seq"] == written, kind
        else:
            assert "permissions violation for publish" in await caller.publish(subject), kind
        assert (await jetstream.bus.state()).last_seq == written, kind


def test_every_kind_is_owned_by_one_service_of_ours():
    owners = {kind: [name for name in SERVICES if kind in kinds_of(name)] for kind in KINDS}
    assert all(len(found) == 1 for found in owners.values()), owners


@pytest.mark.parametrize("cls", EVENTS.values(), ids=lambda cls: cls.__name__)
async def test_the_journal_of_the_owner_takes_every_event(server: OwnServer, cls: type[Event]):
    bus = await connect(as_user(server, cls.owner), cls.owner)
    event = example(cls)
    (recorded,) = await bus.journal.append("acme", [event], 0, Cause())
    loaded = await bus.journal.load(recorded.subject)
    assert loaded.last_seq == recorded.seq
    await bus.close()


@as_every(*SERVICES, HOUSE)
async def test_no_service_makes_changes_empties_or_removes_a_stream(caller: Caller):
    verbs = ("CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE", "MSG.DELETE")
    for verb, stream in product(verbs, STREAMS):
        assert "violation" in await caller.publish(f"{API}.STREAM.{verb}.{stream}"), (verb, stream)
    assert "violation" in await caller.publish(f"{API}.STREAM.CREATE.MINE")


@pytest.mark.parametrize("stream", STREAMS)
@as_every(PROVISIONER)
async def test_the_provisioner_changes_streams_but_writes_and_removes_nothing(
    caller: Caller, stream: str
):
    assert (await caller.ask(f"{API}.STREAM.INFO.{stream}"))["config"]["name"] == stream
    for verb in ("DELETE", "PURGE"):
        assert "violation" in await caller.publish(f"{API}.STREAM.{verb}.{stream}"), verb
    for kind in KINDS:
        assert "violation" in await caller.publish(f"evt.v1.acme.{kind}.p1")


async def test_the_provisioner_makes_all_that_the_house_needs(own_nats: OwnServer):
    await at_empty(own_nats)
    bus = await connect(as_user(own_nats, PROVISIONER), PROVISIONER)
    await bus.provision()
    await bus.close()
    operator = await connect(as_user(own_nats, OPERATOR), "tests")
    assert (await operator.state()).last_seq == 0
    await operator.close()


@as_every(*SERVICES, HOUSE, PROVISIONER)
async def test_nobody_reads_the_answers_to_another(caller: Caller):
    for other in ALL_USERS:
        heard = await caller.subscribe(f"{inbox_prefix(other)}.>")
        assert bool(heard) == (other != caller.user), other
    for pattern in ("_INBOX.>", ">", "_INBOX.*.>", "evt.v1.>", "$KV.>", "$JS.>", "pub.v1.>"):
        assert "violation for subscription" in await caller.subscribe(pattern), pattern


@as_every(*SERVICES)
async def test_nobody_answers_for_another(caller: Caller):
    for other in ALL_USERS:
        told = await caller.publish(f"{inbox_prefix(other)}.x.y")
        assert bool(told) == (other not in ROLES[caller.user].answers), other


OTHERS = {
    RECORDED_SUBJECT: {"recorder"},
    "pub.v1.acme.generation.finished": {"recorder"},
    "ctl.v1.w": {"scheduler"},
    "$KV.leaders.scheduler": {"scheduler"},
    "$KV.counters.run-number": {"scheduler"},
    "$KV.counters.file-1": {"gpu_worker"},
    "sig.v1.worker.w": {"gpu_worker"},
    "sig.v1.acme.progress.p1": {"gpu_worker"},
    "sig.v1.acme.preview.p1": {"gpu_worker"},
    "ask.v1.lease": {"gpu_worker"},
    "ctl.v1.every.free": {"gateway"},
    "$KV.leaders.other": set(),
    "evt.v1.acme.unheard.p1": set(),
    "$SYS.REQ.SERVER.PING": set(),
}


@as_every(*SERVICES)
async def test_what_is_said_beside_events_has_one_speaker(caller: Caller):
    for subject, speakers in OTHERS.items():
        assert bool(await caller.publish(subject)) == (caller.user not in speakers), subject


@as_every(*SERVICES)
async def test_a_dead_letter_bears_its_own_services_name(caller: Caller):
    for name in SERVICES:
        told = await caller.publish(f"dlq.v1.{name}.poisoned")
        assert bool(told) == (name != caller.user), name


HEARD = {
    RECORDED_SUBJECT: {"gateway"},
    "sig.v1.*.progress.*": {"gateway"},
    "sig.v1.*.preview.*": {"gateway"},
    "sig.v1.worker.*": {"scheduler", "gateway"},
    "ask.v1.lease": {"scheduler"},
    "ctl.v1.*": {"gpu_worker"},
    "ctl.v1.every.free": {"gpu_worker"},
}


@as_every(*SERVICES)
async def test_signals_and_asks_are_heard_by_those_they_are_for(caller: Caller):
    for subject, hearers in HEARD.items():
        assert bool(await caller.subscribe(subject)) == (caller.user not in hearers), subject


REACTORS = tuple(name for name, role in ROLES.items() if role.reacts)


@pytest.mark.parametrize("name", REACTORS)
async def test_a_durable_reader_reads_and_acks_with_its_own_rights(server: OwnServer, name: str):
    writer = await connect(as_user(server, "scheduler"), "scheduler")
    reader = await connect(as_user(server, name), name)
    event = example(RunEnded)
    await writer.journal.append("acme", [event], 0, Cause())
    notes = Notes()
    async with running(reader.react(Reactor(name=name, filters=("evt.v1.>",), handler=notes))):
        await eventually(lambda: notes.events)
    operator = await nats.connect(server.url)
    info = await operator.jetstream().consumer_info("EVENTS", name)
    assert info.ack_floor is not None
    assert info.ack_floor.stream_seq == 1
    for one in (writer, reader, operator):
        await one.close()


@as_every(*SERVICES, HOUSE)
async def test_a_durable_reader_is_nobody_elses(caller: Caller):
    for name in REACTORS:
        own = name in USERS[caller.user]
        for right, verb in (
            (own, f"CONSUMER.CREATE.EVENTS.{name}"),
            (own, f"CONSUMER.MSG.NEXT.EVENTS.{name}"),
            (False, f"CONSUMER.DELETE.EVENTS.{name}"),
            (False, f"CONSUMER.DURABLE.CREATE.EVENTS.{name}"),
            (False, f"CONSUMER.PAUSE.EVENTS.{name}"),
            (False, f"CONSUMER.CREATE.EVENTS.{name}.evt.v1.>"),
        ):
            assert bool(await caller.publish(f"{API}.{verb}")) != right, verb
        for ack in (f"EVENTS.{name}.1.1.1.1.0", f"_.hash.EVENTS.{name}.1.1.1.1.0.x"):
            assert bool(await caller.publish(f"$JS.ACK.{ack}", b"+ACK")) != own, ack


@pytest.mark.parametrize("config", [{"durable_name": "validator"}, {"name": "validator"}])
@as_every("billing")
async def test_a_reader_of_the_moment_takes_no_durable_readers_name(
    caller: Caller, server: OwnServer, config: dict[str, str]
):
    operator = await nats.connect(server.url)
    await operator.jetstream().pull_subscribe("evt.v1.>", "validator", "EVENTS")
    before = (await operator.jetstream().consumer_info("EVENTS", "validator")).config
    asked = {"stream_name": "EVENTS", "config": {**config, "ack_policy": "none"}}
    answer = await caller.ask(f"{API}.CONSUMER.CREATE.EVENTS", asked)
    assert "error" in answer or answer["name"] != "validator"
    assert (await operator.jetstream().consumer_info("EVENTS", "validator")).config == before
    await operator.close()


async def test_user_and_password_may_stand_beside_the_address(server: OwnServer):
    login, _, address = server.nats.urls["billing"].removeprefix("nats://").partition("@")
    user, _, password = login.partition(":")
    settings = Settings(nats_url=f"nats://{address}", nats_user=user, nats_password=password)
    bus = await connect(settings, "billing")
    assert await bus.trouble() == ""
    await bus.close()


async def test_half_a_login_is_refused_in_words():
    settings = Settings(nats_url="nats://127.0.0.1:9", nats_user="billing")
    with pytest.raises(Misconfigured, match="NATS_USER and NATS_PASSWORD"):
        await connect(settings, "billing")


async def test_the_login_goes_before_the_address(server: OwnServer):
    settings = Settings(nats_url=server.url, nats_user="billing", nats_password="wrong")
    with pytest.raises(Misconfigured, match="NATS_PASSWORD"):
        await connect(settings, "billing")
