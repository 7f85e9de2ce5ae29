"""Whatever is said to a WebSocket, or asked of it, the gateway answers or closes, and lives on."""

from __future__ import annotations

import contextlib
import json
import os
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

EXAMPLES = int(os.environ.get("STUDIO_FUZZ_EXAMPLES", "10")) * 3
ANSWER_SECONDS_MAX = 30
MEBIBYTE = 1024 * 1024
FLAGS = json.dumps({"type": "feature_flags", "data": {}})
TOO_BIG = 1009
NO_UTF8 = 1007

GENTLE = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
NAMES = st.sampled_from(["clientId", "token", "format", "since", "x"]) | st.text(max_size=5)
QUERIES = st.lists(st.tuples(NAMES, st.text(max_size=300) | st.binary(max_size=30)), max_size=4)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
SAID = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200),
    JSONS.map(json.dumps),
    st.fixed_dictionaries({"type": st.just("feature_flags"), "data": JSONS}).map(json.dumps),
    st.sampled_from(["[" * 50_000, '{"a":' * 50_000, "", "\0", "x" * 900_000, b"\0" * 900_000]),
)


def opened(
    api_url: str, query: str = "clientId=fuzz", *, close_timeout: float = 10
) -> ClientConnection:
    address = f"{api_url.replace('http', 'ws', 1)}/ws?{query}"
    return connect(
        address, max_size=None, open_timeout=ANSWER_SECONDS_MAX, close_timeout=close_timeout
    )


def until_flags(socket: ClientConnection) -> None:
    """Read until the server tells its features, which it does when it is asked."""
    socket.send(FLAGS)
    while json.loads(socket.recv(timeout=ANSWER_SECONDS_MAX))["type"] != "feature_flags":
        continue


def code_of_the_close(socket: ClientConnection) -> int | None:
    """Read to the end; return the code that the server closes with."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=ANSWER_SECONDS_MAX)
    return socket.close_code


@pytest.mark.timeout(300)
@GENTLE
@given(said=st.lists(SAID, max_size=6))
def test_nothing_that_is_said_keeps_it_from_answering(api_url: str, said: list[str | bytes]):
    with opened(api_url) as socket:
        for message in said:
            socket.send(message)
        until_flags(socket)


@pytest.mark.timeout(300)
@GENTLE
@given(query=QUERIES)
def test_no_query_breaks_the_handshake(api_url: str, query: list[tuple[str, str | bytes]]):
    text = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query)
    try:
        with opened(api_url, text) as socket:
            until_flags(socket)
    except InvalidHandshake as refused:
        response = getattr(refused, "response", None)
        assert response is not None
        assert 400 <= response.status_code < 500, response.body


def test_a_message_beyond_a_mebibyte_closes_the_socket_with_its_code(api_url: str):
    with opened(api_url) as socket:
        socket.send("x" * (MEBIBYTE + 1))
        assert code_of_the_close(socket) == TOO_BIG


def test_text_that_is_no_utf8_closes_the_socket_with_its_code(api_url: str):
    with opened(api_url) as socket:
        socket.send(b"\xff\xfe", text=True)
        assert code_of_the_close(socket) == NO_UTF8


@pytest.mark.timeout(300)
@GENTLE
@given(garbage=st.binary(min_size=1, max_size=300))
def test_bytes_that_are_no_frames_cost_one_connection_only(api_url: str, garbage: bytes):
    # Nobody can say goodbye properly on a connection like that, so nobody waits for it.
    with opened(api_url, "clientId=broken", close_timeout=0) as broken, opened(api_url) as well:
        broken.socket.sendall(garbage)
        until_flags(well)


def test_a_socket_is_no_page(api_url: str):
    answer = httpx.get(f"{api_url}/ws", timeout=ANSWER_SECONDS_MAX)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"


def _quoted(value: str | bytes) -> str:
    data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return quote(data, safe="")
