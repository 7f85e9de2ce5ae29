"""A real browser for the Painter page; a word on its console or another host fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, Response, async_playwright, expect

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SITE = ROOT / "services" / "painter" / "site"
AXE = ROOT / "web" / "painter" / "node_modules" / "axe-core" / "axe.min.js"
# What a browser says by itself about an answer that a test asked for.
EXPECTED = "Failed to load resource"

# What is still changing its colour cannot be judged.
STILL = """() => Promise.all(
  document.getAnimations().map(animation => animation.finished.catch(() => null)))"""

# Tests wait for what they expect, also on a busy machine.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


@asynccontextmanager
async def browse() -> AsyncIterator[Browser]:
    """Run a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def watched(browser: Browser, **context: Any) -> AsyncIterator[Page]:
    """Open a page in a context of its own; whatever a user would call broken fails the test."""
    # Colours in motion cannot be judged, and nobody waits for them here.
    usual = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
    settings: dict[str, Any] = {**usual, **context}
    page = await (await browser.new_context(**settings)).new_page()
    page.set_default_timeout(PATIENCE_MS)
    said: list[str] = []
    hosts: set[str] = set()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(f"uncaught: {error}"))
    page.on("response", lambda answer: said.extend(missing(answer)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
    yield page
    await page.context.close()
    assert [words for words in said if not words.startswith(EXPECTED)] == []
    # Blobs and data have no host at all.
    assert hosts <= {"127.0.0.1", ""}


def missing(answer: Response) -> list[str]:
    """Name a part of the page that is not there; refusals of the API are for the test to judge."""
    gone = answer.status >= 400 and not urlsplit(answer.url).path.startswith("/api/")
    return [f"{answer.status} {answer.url}"] if gone else []


async def serious_faults(page: Page) -> list[str]:
    """Return what axe finds that keeps people from using the page."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(AXE.read_text(encoding="utf-8"))
    await page.evaluate(STILL)
    found: list[dict[str, Any]] = await page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{fault['id']}: {node['html'][:160]}"
        for fault in found
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"]
    ]


async def photograph(page: Page, name: str, *, whole: bool = False) -> None:
    """Keep a picture of the page where a person asked for it."""
    if folder := os.environ.get("STUDIO_TEST_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / name, full_page=whole)
