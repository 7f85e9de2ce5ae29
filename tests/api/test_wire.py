"""Requests that no library would send: the gateway answers below 500 or hangs up, and lives on."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("STUDIO_FUZZ_EXAMPLES", "10")) * 5
ANSWER_SECONDS_MAX = 60
HUNG_UP = {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}
GENTLE = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
DEEP = b'{"prompt":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001
TARGETS = (
    b"/view?filename=%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    b"/view?filename=..%5c..%5cwindows",
    b"/../../etc/passwd",
    b"/api/../../../etc/passwd",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/history/%2F..%2F..%2Fetc",
    b"/history/%00",
    b"/api/jobs/%ff%fe",
    b"/api/jobs/%00",
    b"/object_info/" + b"a/" * 2_000,
    b"/models/%2e%2e%2fcheckpoints",
    b"//example.org/queue",
    b"http://example.org/queue",
    b"*",
    b"/queue?" + b"a=b&" * 5_000,
    b"/view?filename=" + b"%F0%9F%A6%8A" * 1_000,
    b"/history?max_items=" + b"9" * 10_000,
    b"/history?offset=%D9%A3&max_items=1e400",
    b"/api/jobs?limit=-1&offset=" + b"9" * 400,
)
HEADERS = (
    b"Range: bytes=0-0",
    b"Range: bytes=-1,5-2,99999999999999999999-",
    b"Range: lines=1",
    b'If-None-Match: *, W/"x", "',
    b"If-None-Match: ",
    b"If-Modified-Since: yesterday",
    b"Accept: text/html;q=0, */*;q=nan",
    b"Accept-Encoding: identity;q=0, x" + b"y" * 4_000,
    b"Authorization: Bearer " + b"z" * 8_000,
    b"Authorization: Basic \xff\xfe",
    b"Cookie: studio_token=\x80; =; a",
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: " + b"9" * 40,
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"Comfy-User: \xf0\x9f\xa6\x8a",
    b"Idempotency-Key: \xe9\x01",
    b"Content-Type: multipart/form-data",
    b"Content-Type: multipart/form-data; boundary=\xff",
    b"Content-Type: application/json; charset=utf-7",
    b"X: " + b"h" * 70_000,
    b"no colon",
)
BODIES = (
    b"",
    b"{}",
    b"[" * 100_000,
    DEEP,
    b'{"prompt": NaN}',
    b'{"prompt_id": "\\u0000\\ud800"}',
    b'{"number": ' + b"9" * 5_000 + b"}",
    b"\xef\xbb\xbf{}",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"zz\r\nhello",
    b"--x\r\n\r\n--x--",
)


def sent(api_url: str, data: bytes, *, ending: bool = False) -> bytes:
    """Send bytes and return all that is answered; `ending` says that there are no more."""
    address = urlsplit(api_url)
    with socket.create_connection(
        (address.hostname, address.port or 80), ANSWER_SECONDS_MAX
    ) as wire:
        answer = b""
        try:
            wire.sendall(data)
            if ending:
                wire.shutdown(socket.SHUT_WR)
            while part := wire.recv(65_536):
                answer += part
        except OSError as error:
            # A gateway that has hung up already is an answer as well; silence is none.
            if error.errno not in HUNG_UP:
                raise
        return answer


def status_of(answer: bytes) -> int:
    """Return the status of an answer; nothing at all is 0."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def request(method: bytes, target: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    head = b"\r\n".join((method + b" " + target + b" HTTP/1.1", *headers))
    return head + b"\r\nConnection: close\r\n\r\n" + body


@pytest.fixture
def alive(api_url: str):
    """Find the gateway alive when the test is over."""
    yield
    assert httpx.get(f"{api_url}/healthz", timeout=ANSWER_SECONDS_MAX).status_code == 200


@pytest.mark.usefixtures("alive")
@pytest.mark.timeout(300)
@pytest.mark.covers("R378")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:30].decode())
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_no_path_leads_out_or_astray(api_url: str, method: bytes, target: bytes):
    answer = sent(api_url, request(method, target, b"Host: localhost", b"Content-Length: 0"))
    assert 200 <= status_of(answer) < 500
    assert b"root:" not in answer


@pytest.mark.usefixtures("alive")
@pytest.mark.timeout(300)
# What fails is shown whole, however long it is.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@GENTLE
@given(
    method=st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"TRACE", b"get", b"\0"]),
    target=st.sampled_from(
        [b"/prompt", b"/api/prompt", b"/queue", b"/view?filename=a.png", b"/upload/image"]
    ),
    headers=st.lists(st.sampled_from(HEADERS), max_size=4),
    host=st.sampled_from([b"Host: localhost", b"Host: example.org", b"Host: [", b"Host: a@b:c"]),
    body=st.sampled_from(BODIES),
)
def test_no_header_or_body_makes_it_fail(
    api_url: str, method: bytes, target: bytes, headers: list[bytes], host: bytes, body: bytes
):
    labelled = (b"Content-Length: %d" % len(body),) if body and len(headers) % 2 else ()
    answer = sent(
        api_url, request(method, target, host, *headers, *labelled, body=body), ending=True
    )
    assert status_of(answer) < 500, answer[:500]


@pytest.mark.usefixtures("alive")
@pytest.mark.timeout(300)
@GENTLE
@given(data=st.binary(max_size=500))
def test_no_bytes_make_it_fail(api_url: str, data: bytes):
    assert status_of(sent(api_url, data, ending=True)) < 500


@pytest.mark.usefixtures("alive")
@pytest.mark.parametrize("body", [b"[" * 100_000, DEEP, b"9" * 100_000])
def test_json_that_is_too_deep_or_too_long_is_refused(api_url: str, body: bytes):
    answer = httpx.post(f"{api_url}/prompt", content=body, timeout=ANSWER_SECONDS_MAX)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_body_that_never_ends_is_cut_off_at_its_limit(api_url: str):
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 65_536
            yield b" " * 65_536

    # The answer may be lost when the connection is cut while it is being written to.
    with contextlib.suppress(httpx.WriteError, httpx.ReadError):
        answer = httpx.post(f"{api_url}/prompt", content=endless(), timeout=ANSWER_SECONDS_MAX)
        assert answer.status_code == 413
    assert 1_048_576 < taken < 128 * 1_048_576


@pytest.mark.covers("R374")
@pytest.mark.parametrize("path", ["/prompt", "/queue", "/api/history"])
def test_a_body_without_a_length_is_measured_as_it_comes(api_url: str, path: str):
    pieces = (b" " * 65_536 for _ in range(32))
    label = {"Content-Type": "application/json"}
    answer = httpx.post(api_url + path, content=pieces, headers=label, timeout=ANSWER_SECONDS_MAX)
    assert answer.status_code == 413
    assert answer.json()["error"]["extra_info"]["limit"] == 1_048_576


@pytest.mark.covers("P10")
def test_a_405_names_the_methods_of_the_path_and_of_no_other(api_url: str):
    def allowed(path: str) -> str:
        answer = httpx.request("PUT", api_url + path, timeout=ANSWER_SECONDS_MAX)
        assert answer.status_code == 405
        assert answer.json()["error"]["type"] == "method_not_allowed"
        return answer.headers["Allow"]

    assert allowed("/prompt") == "GET, HEAD, POST"
    assert allowed("/api/jobs/cancel") == "POST"
    assert allowed("/view") == "GET, HEAD"


def test_head_has_the_headers_of_get_and_no_body(api_url: str):
    seen = httpx.get(f"{api_url}/features", timeout=ANSWER_SECONDS_MAX)
    head = httpx.head(f"{api_url}/features", timeout=ANSWER_SECONDS_MAX)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == seen.headers["content-length"]


def test_the_document_is_served_and_loads_nothing_from_elsewhere(api_url: str):
    document = httpx.get(f"{api_url}/openapi.json", timeout=ANSWER_SECONDS_MAX).json()
    assert document["openapi"].startswith("3.1")
    assert "http://" not in json.dumps(document).replace("http://127.0.0.1", "")
    for page in ("/docs", "/redoc"):
        assert httpx.get(api_url + page, timeout=ANSWER_SECONDS_MAX).status_code == 404
