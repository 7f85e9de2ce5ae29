"""ComfyUI's editor, unmodified, in a real browser against a real gateway."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, Request, Response, async_playwright

from services.gateway.editor import installed
from tests.integration.gateway.house import House, eventually

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(installed() is None, reason="the extra `editor` is not installed"),
    pytest.mark.timeout(200),
]
# What the editor asks for only to see whether it is there.
PROBES = frozenset({"/user.css", "/api/userdata/user.css", "/api/userdata/comfy.templates.json"})
SAVE = """async () => {
  const api = window.comfyAPI.api.api
  const how = {overwrite: false, stringify: true, throwOnError: true}
  const saved = await api.storeUserData("workflows/kept here.json", {nodes: []}, how)
  const there = await api.listUserDataFullInfo("workflows")
  return [saved.status, there.map(file => file.path)]
}"""
NODE_TYPES = """() => {
  const inside = graph => (graph?.nodes ?? []).flatMap(
    node => [node.type, ...(node.subgraph ? inside(node.subgraph) : [])])
  return inside(window.app?.graph)
}"""
PATIENCE_MS = 90_000


@dataclass
class Watched:
    """A page, and everything about it that a user would call broken."""

    page: Page
    errors: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def answer(self, response: Response) -> None:
        """Note an answer that says no to something that is not just looked for."""
        path = urlsplit(response.url).path
        folder = path in ("/api/userdata", "/userdata")
        if response.status >= 400 and path not in PROBES and not folder:
            self.failed.append(f"{response.status} {response.url}")

    def asked(self, request: Request) -> None:
        """Note which host was asked and answered."""
        self.hosts.add(urlsplit(request.url).hostname or "")


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    """Give a page of a fresh browser that is being watched."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        watched = Watched(page)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on("response", watched.answer)
        page.on("requestfinished", watched.asked)
        yield watched
        await browser.close()


async def node_types(page: Page) -> list[str]:
    """Return the types of the nodes on the canvas, and of those inside its subgraphs."""
    found: list[str] = await page.evaluate(NODE_TYPES)
    return found


async def photograph(page: Page, name: str) -> None:
    """Keep a picture of the page where a person asked for it."""
    if folder := os.environ.get("STUDIO_TEST_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / name)


async def test_the_editor_loads_and_draws_the_demo(house: House, watched: Watched):
    await house.register_worker("demo.safetensors")
    page, began = watched.page, time.monotonic()
    await page.goto(house.url, timeout=PATIENCE_MS)

    async def drawn() -> bool:
        return len(await node_types(page)) > 0

    await eventually(drawn, 100)
    await page.locator("#splash-loader").wait_for(state="detached")
    print(f"the editor was ready after {time.monotonic() - began:.1f} s")
    await photograph(page, "editor.png")
    types = set(await node_types(page))
    known = set((await house.http.get("/object_info")).json())
    assert types - known == {"MarkdownNote"}
    assert len(types & known) == 8
    assert await page.evaluate(SAVE) == [200, ["kept here.json"]]
    assert (await house.http.get("/userdata/workflows%2Fkept here.json")).json() == {"nodes": []}
    assert watched.errors == []
    assert watched.failed == []
    # Blobs and data have no host at all.
    assert watched.hosts <= {"127.0.0.1", ""}
