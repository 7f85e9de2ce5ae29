"""The envelope is CloudEvents 1.0 in structured JSON, and loses nothing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from urllib.parse import urlparse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.core.errors import Poisoned
from libs.events.base import Event, subject_of
from libs.events.catalogue import EVENTS
from libs.events.envelope import Cause, rfc3339, unwrap, wrap
from tests.contract.golden_events.write import NOON, example_of

CLASSES = list(EVENTS.values())
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")
ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}\Z")
INT32 = 2**31
TEXT = st.text(max_size=20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)

st.register_type_strategy(float, FLOATS)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_envelope_is_a_cloud_event(cls: type[Event]):
    body = json.loads(example_of(cls))
    assert body["specversion"] == "1.0"
    for required in ("id", "source", "type"):
        assert isinstance(body[required], str)
        assert body[required]
    assert urlparse(body["source"]).path == body["source"]
    assert RFC3339.match(body["time"])
    assert body["datacontenttype"] == "application/json"
    assert urlparse(body["dataschema"]).scheme == "https"
    assert body["subject"]
    for name, value in body.items():
        if name == "data":
            continue
        assert ATTRIBUTE.match(name), name
        assert value != "", f"{name} is empty; an attribute without a value is left out"
        assert isinstance(value, str | int), name
        assert not isinstance(value, int) or -INT32 <= value < INT32


def test_attributes_without_a_value_are_left_out_and_read_as_empty():
    cls = EVENTS["WorkerStopped"]
    event = cls.model_validate({"worker_id": "w", "slot": "s", "reason": "r"})
    payload = wrap(event, event_id="e", tenant="_sys", source="/studio/x", time=NOON, cause=Cause())
    assert {"causationid", "correlationid", "traceparent", "attempt"}.isdisjoint(
        json.loads(payload)
    )
    recorded = unwrap(payload, seq=1, subject="s")
    assert (recorded.causation_id, recorded.correlation_id, recorded.traceparent) == ("", "", "")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_wrapped_comes_out_again(data: st.DataObject):
    cls = data.draw(st.sampled_from(CLASSES))
    event = data.draw(st.from_type(cls))
    cause = Cause(data.draw(TEXT), data.draw(TEXT), data.draw(TEXT))
    payload = wrap(event, event_id="e-1", tenant="acme", source="/studio/x", time=NOON, cause=cause)
    subject = subject_of("acme", event)
    recorded = unwrap(payload, seq=5, subject=subject)
    assert recorded.event == event
    assert type(recorded.event) is cls
    assert (recorded.seq, recorded.subject, recorded.payload) == (5, subject, payload)
    assert (recorded.event_id, recorded.tenant, recorded.time) == ("e-1", "acme", NOON)
    assert recorded.correlation_id == event.correlation_id or cause.correlation_id
    assert recorded.cause() == Cause("e-1", recorded.correlation_id, cause.traceparent)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_readers_ignore_fields_they_do_not_know(cls: type[Event]):
    body = json.loads(example_of(cls))
    known = unwrap(json.dumps(body).encode(), seq=1, subject="s").event
    body["data"]["from_the_future"] = {"x": 1}
    body["newattribute"] = "y"
    assert unwrap(json.dumps(body).encode(), seq=1, subject="s").event == known


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"type":"ai.hanzo.studio.Unheard","dataschema":"x/v1","data":{}}',
        b'{"type":"ai.hanzo.studio.RunQueued","dataschema":"x/vx","data":{}}',
        b'{"type":"ai.hanzo.studio.RunQueued","dataschema":"x/v1","data":{"prompt_id":1}}',
    ],
)
def test_bytes_that_are_no_event_are_poison_and_nothing_else(payload: bytes):
    with pytest.raises(Poisoned):
        unwrap(payload, seq=1, subject="s")


@given(
    st.datetimes(
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001  Hypothesis adds the zone.
        timezones=st.sampled_from([UTC]),
    )
)
def test_times_are_written_in_utc_with_milliseconds(moment: datetime):
    written = rfc3339(moment)
    assert RFC3339.match(written)
    assert written.endswith("Z")
    assert abs((datetime.fromisoformat(written) - moment).total_seconds()) < 0.001
