"""What a writer makes of each answer, those of a cluster included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

import pytest

from libs.bus import writer
from libs.bus.connection import ApiError, Message
from libs.bus.writer import Draft, Meaning, Write, Writer, meaning
from libs.core.errors import Conflict, Poisoned, Unavailable
from libs.core.jsonvalue import JsonObject

SUBJECT = "evt.v1.acme.run.p1"
MINE = Draft("e-mine", b"{}")


def refusal(status: int, err_code: int) -> bytes:
    error = {"code": status, "err_code": err_code, "description": "because"}
    return json.dumps({"error": error}).encode()


def stored(seq: int) -> bytes:
    return json.dumps({"stream": "EVENTS", "seq": seq}).encode()


@dataclass
class Script:
    """A connection whose answers are written down beforehand; None is no answer at all."""

    answers: list[bytes | None]
    tail: list[tuple[int, str]] = field(default_factory=list)
    sent: list[Mapping[str, str]] = field(default_factory=list)
    connected = True

    async def ready(self, seconds: float | None = None) -> None:
        return

    async def publish(self, subject, data, *, reply="", headers=None) -> None:
        self.sent.append(headers)

    async def request(self, subject, data, *, seconds, headers=None) -> Message:
        self.sent.append(headers)
        answer = self.answers.pop(0)
        if answer is None:
            raise Unavailable("no answer in time")
        return Message(subject, answer)

    async def api(self, verb: str, body: JsonObject, *, seconds: float = 5) -> JsonObject:
        import base64

        assert verb == "STREAM.MSG.GET.EVENTS"
        wanted = body.get("seq", 0)
        assert isinstance(wanted, int)
        found = [(seq, event_id) for seq, event_id in self.tail if seq >= wanted]
        if not found:
            raise ApiError(404, 10037, "no message found")
        seq, event_id = found[0] if wanted else found[-1]
        headers = base64.b64encode(f"NATS/1.0\r\nNats-Msg-Id: {event_id}\r\n\r\n".encode())
        return {"message": {"seq": seq, "subject": SUBJECT, "hdrs": headers.decode(), "data": ""}}


async def write(script: Script, *drafts: Draft, expected: int | None = 3) -> list[int]:
    writing = Writer(script)  # type: ignore[arg-type]
    return await writing.write(
        Write("EVENTS", SUBJECT, drafts or (MINE,), expected, patience_seconds=2)
    )


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PAUSE_SECONDS_MAX", 0.01)


@pytest.mark.parametrize(
    ("status", "err_code", "expected"),
    [
        (400, 10071, Meaning.MOVED),
        (400, 10164, Meaning.MOVED),
        (400, 10201, Meaning.MOVED),
        (503, 10077, Meaning.FULL),
        (400, 10054, Meaning.TOO_LARGE),
        (503, 10008, Meaning.AGAIN),
        (500, 1, Meaning.AGAIN),
        (408, 1, Meaning.AGAIN),
        (429, 1, Meaning.AGAIN),
        (400, 10176, Meaning.AGAIN),
        (400, 10060, Meaning.NEVER),
    ],
)
def test_each_refusal_has_one_meaning(status: int, err_code: int, expected: Meaning):
    assert meaning(status, err_code) is expected


@pytest.mark.parametrize("refused", [refusal(503, 10077), refusal(503, 10008), None])
async def test_a_write_that_is_not_taken_is_remembered_until_one_is_or_for_a_while(
    refused: bytes | None, monkeypatch: pytest.MonkeyPatch
):
    script = Script([refused] * 1_000)
    writing = Writer(script)  # type: ignore[arg-type]
    draft = Write("EVENTS", SUBJECT, (MINE,), 3, patience_seconds=0.05)
    assert writing.trouble == ""
    with pytest.raises(Unavailable):
        await writing.write(draft)
    assert writing.trouble == "takes no writes"
    later = monotonic() + writer.REMEMBERED_SECONDS
    with monkeypatch.context() as clock:
        clock.setattr(writer, "monotonic", lambda: later)
        assert writing.trouble == ""
    script.answers = [stored(4)]
    assert await writing.write(draft) == [4]
    assert writing.trouble == ""


@pytest.mark.parametrize("err_code", [10071, 10164, 10201])
async def test_moved_by_ourselves_is_success(err_code: int):
    script = Script([None, refusal(400, err_code)], tail=[(3, "e-old"), (9, "e-mine")])
    assert await write(script) == [9]


@pytest.mark.parametrize("err_code", [10071, 10164])
async def test_moved_by_ourselves_and_then_by_others_is_success(err_code: int):
    script = Script(
        [None, refusal(400, err_code)], tail=[(3, "e-old"), (9, "e-mine"), (11, "e-other")]
    )
    assert await write(script) == [9]


@pytest.mark.parametrize("err_code", [10071, 10164])
async def test_moved_by_others_is_a_conflict(err_code: int):
    script = Script([refusal(400, err_code)], tail=[(3, "e-old"), (9, "e-other")])
    with pytest.raises(Conflict):
        await write(script)


async def test_a_cluster_that_refuses_while_our_own_write_is_under_way_is_asked_again():
    # The tail has not moved yet: it may be our first try that is being agreed on.
    script = Script([None, refusal(400, 10164), stored(4)], tail=[(3, "e-old")])
    assert await write(script) == [4]


async def test_a_subject_that_has_aged_away_is_a_conflict():
    script = Script([refusal(400, 10071)], tail=[])
    with pytest.raises(Conflict):
        await write(script)


async def test_all_tries_carry_the_same_id_and_expectation():
    script = Script([None, refusal(503, 10008), None, stored(4)])
    assert await write(script) == [4]
    assert len(script.sent) == 4
    assert {headers["Nats-Msg-Id"] for headers in script.sent} == {"e-mine"}
    assert {headers["Nats-Expected-Last-Subject-Sequence"] for headers in script.sent} == {"3"}


async def test_a_batch_keeps_its_ids_and_is_a_new_batch_at_each_try():
    drafts = [Draft(f"e-{number}", b"{}") for number in range(3)]
    script = Script([None, stored(6)])
    assert await write(script, *drafts) == [4, 5, 6]
    assert [headers["Nats-Msg-Id"] for headers in script.sent] == ["e-0", "e-1", "e-2"] * 2
    assert [headers["Nats-Batch-Sequence"] for headers in script.sent] == ["1", "2", "3"] * 2
    assert len({headers["Nats-Batch-Id"] for headers in script.sent}) == 2
    assert [headers.get("Nats-Batch-Commit", "") for headers in script.sent] == ["", "", "1"] * 2


async def test_a_batch_that_was_written_at_the_first_try_is_found_whole():
    drafts = [Draft(f"e-{number}", b"{}") for number in range(3)]
    script = Script([None, refusal(400, 10201)], tail=[(3, "e-old"), (7, "e-0"), (8, "e-1")])
    assert await write(script, *drafts) == [7, 8, 9]


async def test_a_full_stream_is_not_waited_for():
    script = Script([refusal(503, 10077)])
    with pytest.raises(Unavailable, match="STUDIO_EVENTS_MAX_MIB"):
        await write(script)


async def test_too_large_is_poison():
    script = Script([refusal(400, 10054)])
    with pytest.raises(Poisoned, match="262144"):
        await write(script)


async def test_silence_beyond_patience_is_unavailable_and_no_conflict(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(writer, "PAUSE_SECONDS_MAX", 0.5)
    script = Script([None] * 100)
    with pytest.raises(Unavailable) as raised:
        await write(script)
    assert not isinstance(raised.value, Conflict)
    assert raised.value.facts["ids"] == ["e-mine"]
