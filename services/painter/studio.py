"""Studio's API on 8188 as Painter uses it: every request with the caller's own key."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from libs.core.errors import NotFound, Refused, StudioError, Unauthorized, Unavailable
from libs.core.jsonvalue import Json, JsonObject
from libs.telemetry import tracing
from services.painter import metrics
from services.painter.caller import Caller

if TYPE_CHECKING:
    import httpx

ANSWER_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 5.0
TRIES_MAX: Final = 2
# Studio says that it lives every 15 seconds.
SILENCE_SECONDS: Final = 40.0
SEE_OTHER, NOT_MODIFIED, UNAUTHORIZED, MISSING, FAILED = 303, 304, 401, 404, 500
# What Studio says is for people who see nodes; these are for people who do not.
WORDS: Final = {
    401: "An API key is needed. Sign in with a key that begins with sk-hanzo-.",
    402: "Your credits do not cover this picture. Add credits, or ask for fewer or smaller ones.",
    422: "This Idempotency-Key was used for another request. Use a new one.",
}
KIND_WORDS: Final = {
    "content_policy": "This text is against the content policy. Please put it differently.",
    "daily_limit": "You have made all pictures of today. Come back tomorrow.",
    "queue_full": "Too many pictures are waiting already. Try again in a moment.",
}
KINDS: Final = {"content_policy": "content_blocked", "daily_limit": "daily_limit_reached"}


@dataclass
class Studio:
    """The one way to Studio, at `url`; it has no key of its own."""

    url: str

    @cached_property
    def http(self) -> httpx.AsyncClient:
        """Return the HTTP client; a house that nobody paints in does without one."""
        return http_client(self.url)

    async def close(self) -> None:
        """Let go of the connections, if there are any."""
        if "http" in vars(self):
            await self.http.aclose()

    async def get(self, caller: Caller, path: str, **params: str | int) -> Any:
        """Return the JSON that a route answers."""
        return (await self._ask(caller, "GET", path, params=params)).json()

    async def post(self, caller: Caller, path: str, body: JsonObject, **headers: str) -> Any:
        """Hand a command in; return the JSON of the answer, if it has one."""
        answer = await self._ask(caller, "POST", path, json=body, headers=headers)
        return answer.json() if answer.content else None

    async def hand_in(
        self, caller: Caller, prompt_id: str, body: JsonObject, *, keyed: bool
    ) -> None:
        """Hand a prompt in; `keyed` says that the caller can ask for it again under its id."""
        for attempt in range(1, TRIES_MAX + 1):
            try:
                await self.post(caller, "/api/prompt", body)
            except Unavailable:
                if attempt < TRIES_MAX:
                    continue
                if not keyed:
                    # The caller cannot ask for it again, so nobody shall pay for it.
                    await self.post(caller, f"/api/jobs/{prompt_id}/cancel", {})
                raise
            return

    async def upload(self, caller: Caller, name: str, data: bytes) -> str:
        """Keep a picture for a workflow; return the name that it goes by."""
        answer = await self._ask(
            caller, "POST", "/api/upload/image", files={"image": (name, data)}, data={}
        )
        return str(answer.json()["name"])

    async def view(
        self, caller: Caller, file: JsonObject, headers: dict[str, str]
    ) -> httpx.Response:
        """Return a file with its headers; what the caller has already is a 304."""
        params = {name: str(value) for name, value in file.items()}
        return await self._ask(caller, "GET", "/api/view", params=params, headers=headers)

    async def job(self, caller: Caller, prompt_id: str) -> JsonObject:
        """Return an open or ended prompt with its workflow and outputs; NotFound without it."""
        return cast("JsonObject", await self.get(caller, f"/api/jobs/{prompt_id}"))

    async def place(self, caller: Caller, prompt_id: str) -> int | None:
        """Return how many of the caller's prompts go first; None for one that does not wait."""
        queue = await self.get(caller, "/api/queue")
        places = {item["prompt_id"]: item["number"] for item in queue["queue_pending"]}
        return places.get(prompt_id)

    async def entry(self, caller: Caller, prompt_id: str) -> JsonObject | None:
        """Return an ended prompt as the history tells it."""
        found = await self.get(caller, "/api/history", prompt_id=prompt_id)
        return cast("JsonObject | None", found.get(prompt_id))

    async def open_ones(self, caller: Caller) -> list[tuple[str, Json, int | None]]:
        """Return the caller's open prompts with their extra data and places, None for running."""
        queue = await self.get(caller, "/api/queue", format="comfyui")
        running = [(item[1], item[3], None) for item in queue["queue_running"]]
        pending = [(item[1], item[3], place) for place, item in enumerate(queue["queue_pending"])]
        return [*running, *pending]

    async def ended_ones(
        self, caller: Caller, max_items: int, before: str | None
    ) -> list[tuple[str, JsonObject]]:
        """Return ended prompts, newest first."""
        params: dict[str, str | int] = {"max_items": max_items}
        if before is not None:
            params["before"] = before
        found = await self.get(caller, "/api/history", **params)
        return list(found.items())[::-1]

    async def events(self, caller: Caller, prompt_id: str) -> AsyncIterator[tuple[str, JsonObject]]:
        """Yield what happens to a prompt, from its state now to its end."""
        import httpx

        asked = self.http.stream(
            "GET",
            f"/api/jobs/{prompt_id}/events",
            headers=caller.headers,
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        )
        try:
            async with asked as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise refusal_of(answer)
                kind = ""
                async for line in answer.aiter_lines():
                    if line.startswith("event: "):
                        kind = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        yield kind, json.loads(line.removeprefix("data: "))
        except httpx.HTTPError as error:
            raise Unavailable("Studio does not answer", reason=repr(error)) from error

    async def log_in(self, key: str) -> list[str]:
        """Begin a session of a key; return the cookies that it is kept in, if any is needed."""
        answer = await self._ask(Caller(), "POST", "/login", data={"key": key})
        return list(answer.headers.get_list("set-cookie"))

    async def log_out(self, caller: Caller) -> None:
        """End the session of a cookie."""
        if caller.by_cookie:
            await self._ask(caller, "POST", "/logout")

    async def healthy(self) -> bool:
        """Say whether Studio takes prompts now."""
        import httpx

        try:
            answer = await self.http.get("/readyz", timeout=CONNECT_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.is_success

    async def _ask(self, caller: Caller, method: str, path: str, **options: Any) -> httpx.Response:
        import httpx

        headers = {**options.pop("headers", {}), **caller.headers}
        if trace := tracing.current():
            headers["traceparent"] = trace
        began = time.monotonic()
        try:
            answer = await self.http.request(method, path, headers=headers, **options)
        except httpx.HTTPError as error:
            raise Unavailable("Studio does not answer", reason=repr(error)) from error
        metrics.STUDIO.observe(time.monotonic() - began)
        if answer.is_success or answer.status_code in (SEE_OTHER, NOT_MODIFIED):
            return answer
        raise refusal_of(answer)


def refusal_of(answer: httpx.Response) -> StudioError:
    """Return what a refusal of Studio's means to the caller, in plain words."""
    error = _error_of(answer)
    kind, message = str(error.get("type") or ""), str(error.get("message") or "")
    status = answer.status_code
    if status == MISSING:
        return NotFound("There is no such thing here.")
    if status == UNAUTHORIZED:
        return Unauthorized(WORDS[status])
    if status >= FAILED:
        retry = answer.headers.get("retry-after", "")
        later: dict[str, object] = {"retry_after_seconds": int(retry)} if retry.isdigit() else {}
        return Unavailable("Studio cannot do it now", reason=message, answered=status, **later)
    words = KIND_WORDS.get(kind) or WORDS.get(status) or _sentence(message)
    retry = answer.headers.get("retry-after", "")
    facts = _facts(error) | ({"retry_after_seconds": int(retry)} if retry.isdigit() else {})
    return Refused(words, kind=KINDS.get(kind, kind) or "refused", status=status, **facts)


def http_client(url: str) -> httpx.AsyncClient:
    """Return a client of Studio at `url`; proxies of the environment are not for it."""
    import httpx

    limits = httpx.Limits(max_connections=200, max_keepalive_connections=20)
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    return httpx.AsyncClient(
        base_url=url.rstrip("/"), timeout=timeout, limits=limits, trust_env=False
    )


def _error_of(answer: httpx.Response) -> JsonObject:
    try:
        body: Json = answer.json()
    except ValueError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {"message": str(error or "")}


def _facts(error: JsonObject) -> dict[str, object]:
    extra = error.get("extra_info")
    facts: dict[str, object] = {}
    if isinstance(extra, dict):
        facts = {name: extra[name] for name in ("field", "limit", "tier") if name in extra}
    return facts | ({"details": error["details"]} if error.get("details") else {})


def _sentence(message: str) -> str:
    words = message.strip().rstrip(".")
    return f"{words[:1].upper()}{words[1:]}." if words else "Studio refused this."
