"""One connection to NATS. Nothing above this file knows the client library or its errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast
from urllib.parse import urlsplit

import nats.aio.client
import nats.errors
import structlog

from libs.bus.subjects import safe_token
from libs.core.errors import Misconfigured, Poisoned, Unavailable
from libs.core.jsonvalue import JsonObject

log = structlog.get_logger(__name__)

API = "$JS.API"
CONNECT_SECONDS = 30.0
RECONNECT_SECONDS = 0.25
PING_SECONDS = 5
SAME_TROUBLE_SECONDS = 10.0
PENDING_BYTES_MAX = 4 * 1024 * 1024
API_SECONDS = 5.0
SERVER_VERSION_MIN = (2, 14, 0)


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes that came from the server."""

    subject: str
    data: bytes
    reply: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Unavailable):
    """JetStream answered that it will not; `err_code` says why."""

    def __init__(self, code: int, err_code: int, description: str, **facts: object) -> None:
        super().__init__(
            "JetStream refused", code=code, err_code=err_code, description=description, **facts
        )
        self.status = code
        self.err_code = err_code
        self.description = description


Hear = Callable[[Message], None]


@dataclass(frozen=True)
class Login:
    """Who we are on the server; with an empty user the URL says it."""

    user: str = ""
    password: str = field(default="", repr=False)


def inbox_prefix(user: str) -> str:
    """Return where answers to that user come, which no other user may read."""
    return f"_INBOX.{safe_token(user)}"


class Connection:
    """A connection that comes back for ever, and raises errors of the house."""

    def __init__(self, name: str, purpose: str) -> None:
        self._name = name
        self._purpose = purpose
        self._client: Any = nats.aio.client.Client()
        self._open = asyncio.Event()
        self._refused: asyncio.Future[str] | None = None
        self._leaving = False
        self._trouble, self._troubled = "", 0.0
        self._watchers: set[Callable[[], None]] = set()

    async def open(self, url: str, login: Login = Login()) -> None:
        """Connect; raise Misconfigured or Unavailable with what to do about it."""
        if not url:
            raise Misconfigured("NATS_URL is empty: give the URL of a NATS server")
        if bool(login.user) != bool(login.password):
            raise Misconfigured("NATS_USER and NATS_PASSWORD go together: give both or neither")
        self._refused = asyncio.get_running_loop().create_future()
        connecting = asyncio.ensure_future(self._connect(url, login))
        try:
            await asyncio.wait(
                (connecting, self._refused),
                timeout=CONNECT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self._refused.done():
                raise Misconfigured(
                    "NATS refused the login in NATS_URL, or in NATS_USER and NATS_PASSWORD",
                    reason=self._refused.result(),
                )
            if not connecting.done():
                raise Unavailable("no NATS server answers at NATS_URL", seconds=CONNECT_SECONDS)
            connecting.result()
        finally:
            self._refused = None
            if not connecting.done():
                connecting.cancel()
                await asyncio.wait((connecting,))
                await self.close()
        self._check_version()
        self._open.set()

    @property
    def connected(self) -> bool:
        """Say whether the server is reached at this moment."""
        return bool(self._client.is_connected)

    def check_alive(self) -> None:
        """Raise Unavailable if the server closed the connection for good, as for a lost right.

        Whoever waits for news must not wait on: the process has to start anew.
        """
        if self._client.is_closed:
            raise Unavailable("the connection to NATS is closed", name=self._name)

    def watch(self, woken: Callable[[], None]) -> Callable[[], None]:
        """Call `woken` after each loss and each return; the answer ends that."""
        self._watchers.add(woken)
        return lambda: self._watchers.discard(woken)

    async def ready(self, seconds: float | None = None) -> None:
        """Wait until connected; Unavailable after `seconds`, or if it never will be again."""
        if self.connected:
            return
        try:
            async with asyncio.timeout(seconds):
                while not self.connected:
                    self.check_alive()
                    self._open.clear()
                    await self._open.wait()
        except TimeoutError:
            raise Unavailable("NATS is not reached", seconds=seconds) from None

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send, and know nothing of what becomes of it."""
        with ours(subject):
            await self._client.publish(subject, data, reply=reply, headers=_plain(headers))

    async def request(
        self,
        subject: str,
        data: bytes,
        *,
        seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        """Send and wait for the answer; Unavailable when there is none, and then who knows."""
        with ours(subject):
            answer = await self._client.request(
                subject, data, timeout=seconds, headers=_plain(headers)
            )
        return _message(answer)

    async def api(
        self, verb: str, body: JsonObject | None = None, *, seconds: float = API_SECONDS
    ) -> JsonObject:
        """Ask JetStream's API; its refusals are ApiError."""
        data = json.dumps(body).encode() if body is not None else b""
        answer = await self.request(f"{API}.{verb}", data, seconds=seconds)
        return api_answer(answer.data, verb)

    async def listen(self, subject: str, hear: Hear, *, queue: str = "") -> Callable[[], Any]:
        """Call `hear` for every message on `subject`; the answer, awaited, ends that."""

        async def heard(message: Any) -> None:
            hear(_message(message))

        with ours(subject):
            subscription = await self._client.subscribe(subject, queue=queue, cb=heard)

        async def end() -> None:
            if self._client.is_closed:
                return
            with ours(subject):
                await subscription.unsubscribe()

        return end

    def inbox(self) -> str:
        """Return a subject that nobody else has."""
        return str(self._client.new_inbox())

    async def close(self) -> None:
        """Flush and leave; nothing to flush to is no reason to stay."""
        self._leaving = True
        if self.connected:
            try:
                await self._client.flush(2)
            except (nats.errors.Error, OSError) as error:
                await self._on_error(error)
        await self._client.close()

    async def _connect(self, url: str, login: Login) -> None:
        await self._client.connect(
            servers=[part.strip() for part in url.split(",")],
            name=f"{self._name} {self._purpose}",
            user=login.user or None,
            password=login.password or None,
            inbox_prefix=inbox_prefix(login.user or _user_in(url) or self._name),
            error_cb=self._on_error,
            disconnected_cb=self._on_lost,
            reconnected_cb=self._on_return,
            closed_cb=self._on_closed,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_SECONDS,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=2,
            pending_size=PENDING_BYTES_MAX,
            flush_timeout=PING_SECONDS,
        )

    def _check_version(self) -> None:
        version = self._client.connected_server_version
        found = (version.major, version.minor, version.patch)
        if found < SERVER_VERSION_MIN:
            wanted = ".".join(map(str, SERVER_VERSION_MIN))
            raise Misconfigured(
                f"the NATS server at NATS_URL must be {wanted} or newer",
                found=".".join(map(str, found)),
            )

    async def _on_error(self, error: Exception) -> None:
        refused = isinstance(error, nats.errors.AuthorizationError) or "uthorization" in str(error)
        if refused and self._refused is not None and not self._refused.done():
            self._refused.set_result(str(error))
        trouble = str(error) or repr(error)
        if trouble == self._trouble and monotonic() - self._troubled < SAME_TROUBLE_SECONDS:
            return  # Each try to come back fails with the same words, four times a second.
        self._trouble, self._troubled = trouble, monotonic()
        log.warning("nats trouble", connection=self._purpose, error=trouble)

    async def _on_lost(self) -> None:
        if not self._leaving:
            log.warning("nats lost", connection=self._purpose)
        self._wake()

    async def _on_return(self) -> None:
        log.info("nats back", connection=self._purpose)
        self._wake()

    async def _on_closed(self) -> None:
        if not self._leaving:
            log.error("nats closed", connection=self._purpose)
        self._wake()

    def _wake(self) -> None:
        self._open.set()
        for woken in tuple(self._watchers):
            woken()


def api_answer(data: bytes, asked: str) -> JsonObject:
    """Read an answer of JetStream; raise what it refuses."""
    body = cast("JsonObject", json.loads(data))
    error = body.get("error")
    if isinstance(error, dict):
        raise ApiError(
            int(cast("int", error.get("code", 0))),
            int(cast("int", error.get("err_code", 0))),
            str(error.get("description", "")),
            asked=asked,
        )
    return body


@contextmanager
def ours(subject: str) -> Iterator[None]:
    """Turn errors of the client library into ours."""
    try:
        yield
    except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError) as error:
        raise Poisoned(str(error), subject=subject) from error
    except nats.errors.NoRespondersError as error:
        raise Unavailable("nobody answers", subject=subject) from error
    except nats.errors.TimeoutError as error:
        raise Unavailable("no answer in time", subject=subject) from error
    except (nats.errors.Error, OSError) as error:
        raise Unavailable(
            "the bus is not reached", subject=subject, reason=str(error) or repr(error)
        ) from error


def _user_in(url: str) -> str:
    try:
        return urlsplit(url.partition(",")[0]).username or ""
    except ValueError:
        return ""  # The client library says what is wrong with it.


def _plain(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    return dict(headers) if headers else None


def _message(message: Any) -> Message:
    return Message(message.subject, message.data, message.reply, message.headers or {})
