"""Several people in the editor at once: what each page's socket is told, and what it shows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, CDPSession, Response

from tests.e2e.browsing import PATIENCE_MS, VIEW, Studio
from tests.e2e.lifecycle import certain, faults

TEXT = 1
SWITCHING = 101
LOOK_MS = 25
SHOWN = """([type, name]) => app.graph.nodes.some(
  node => node.type === type && node.imgs?.some(i => i.naturalWidth && i.src.includes(name)))"""


@dataclass
class Person:
    """One person in the editor, whose socket's frames are all kept."""

    studio: Studio
    api: httpx.Client
    wire: CDPSession
    sockets: list[list[dict[str, Any]]] = field(default_factory=list)
    prompt_ids: list[str] = field(default_factory=list)
    _earlier: frozenset[str] = frozenset()
    _errors_before: int = 0

    def watch(self) -> None:
        """Keep what comes from now on."""
        self.wire.send("Network.enable")
        self.wire.on("Network.webSocketFrameReceived", self._hear)
        self.wire.on("Network.webSocketHandshakeResponseReceived", self._connected)
        self.studio.watch()

    def begin_anew(self) -> None:
        """Forget what was heard and run so far, as soon as nothing of it is open any more."""
        while any(self.api.get("/queue").json().values()):
            self.studio.page.wait_for_timeout(LOOK_MS)
        self.sockets, self.prompt_ids = [[]], []
        # The last words of what is over may still be on their way.
        self._earlier = frozenset(self.api.get("/history").json())

    def run(self) -> str:
        """Press Run; return the id of the prompt that the editor handed in."""
        with self.studio.page.expect_response(_is_submission) as answered:
            self.studio.run()
        told = answered.value.json()
        assert "prompt_id" in told, told
        self.prompt_ids.append(told["prompt_id"])
        return self.prompt_ids[-1]

    def has_heard(self, prompt_id: str, kind: str) -> bool:
        """Say whether a frame of the lifecycle of a prompt has come."""
        told = [place for frames in self.sockets for place in certain(frames)[prompt_id]]
        return any(one == kind for _, one in told)

    def wait_until_told(self, prompt_id: str, kind: str, seconds: float = 60.0) -> None:
        """Wait for a frame of the lifecycle."""
        deadline = time.monotonic() + seconds
        while not self.has_heard(prompt_id, kind):
            if time.monotonic() > deadline:
                raise AssertionError(f"{kind} of {prompt_id} was not told in {seconds:g} s")
            self.studio.page.wait_for_timeout(LOOK_MS)

    def wait_until_shown(self, prompt_id: str, type_: str = "SaveImage") -> None:
        """Wait until the node shows the very picture of a prompt."""
        self.wait_until_told(prompt_id, "executing")
        outputs = self.api.get(f"/history/{prompt_id}").json()[prompt_id]["outputs"]
        names = [image["filename"] for out in outputs.values() for image in out.get("images", [])]
        self.studio.page.wait_for_function(SHOWN, arg=[type_, names[-1]])

    def cut_off(self) -> None:
        """Take the network away: the socket ends, and none can be opened."""
        self._errors_before = len(self.studio.errors)
        self.studio.page.context.set_offline(True)
        self.studio.page.evaluate("() => comfyAPI.api.api.socket.close()")

    def come_back(self) -> None:
        """Give the network back; the editor connects again by itself, within a bound."""
        before = len(self.sockets)
        deadline = time.monotonic() + PATIENCE_MS / 1000
        self.studio.page.context.set_offline(False)
        while len(self.sockets) == before:
            if time.monotonic() > deadline:
                raise AssertionError("the editor did not connect again")
            self.studio.page.wait_for_timeout(LOOK_MS)
        # What a page says without a network is not about the house.
        del self.studio.errors[self._errors_before :]

    def faults(self) -> tuple[list[str], list[str]]:
        """Return what was heard of others, and what was not heard as it was."""
        sockets = [
            [frame for frame in frames if frame["data"].get("prompt_id") not in self._earlier]
            for frames in self.sockets
        ]
        return faults(sockets, self.prompt_ids, self.api)

    def _hear(self, event: dict[str, Any]) -> None:
        if event["response"]["opcode"] == TEXT:
            self.sockets[-1].append(json.loads(event["response"]["payloadData"]))

    def _connected(self, event: dict[str, Any]) -> None:
        if event["response"]["status"] == SWITCHING:
            self.sockets.append([])


@contextmanager
def person(browser: Browser, url: str, key: str = "") -> Iterator[Person]:
    """Let somebody open the editor in a browser profile of their own, with a key or without."""
    context = browser.new_context(viewport=VIEW)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if key:
        context.add_cookies([{"name": "studio_token", "value": key, "url": url}])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    with httpx.Client(base_url=url, timeout=60, headers=headers) as api:
        someone = Person(Studio(page, url), api, context.new_cdp_session(page))
        someone.watch()
        yield someone
    context.close()


def _is_submission(response: Response) -> bool:
    return response.request.method == "POST" and urlsplit(response.url).path == "/api/prompt"
