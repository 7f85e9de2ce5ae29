"""The page, in a real browser: it makes a picture and talks to no other host."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.events.run import RunQueued
from tests.integration.gateway.house import House, open_house
from tests.integration.gateway.test_gateway_files import picture
from tests.integration.gateway.test_gateway_walls import new_key, token_of

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """Give a page of a fresh browser; a word on its console fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 900, "height": 1300})
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        hosts: set[str] = set()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
        yield page
        await browser.close()
        assert said == []
        # Blobs and data have no host at all.
        assert hosts <= {"127.0.0.1", ""}


async def photograph(page: Page, name: str) -> None:
    """Keep a picture of the page where a person asked for it."""
    if folder := os.environ.get("STUDIO_TEST_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / name, full_page=True)


def work(house: House) -> None:
    """Execute everything that is handed in."""

    async def run(recorded: Any) -> None:
        prompt_id, tenant = recorded.event.prompt_id, recorded.tenant
        await house.lease(prompt_id, tenant=tenant)
        await house.start(prompt_id, tenant=tenant)
        await house.step(prompt_id, "sampler", announces=True, total=4, tenant=tenant)
        await house.step(prompt_id, "sampler", value=2, total=4, tenant=tenant)
        output = await house.output(prompt_id, "picture", data=picture(size=(64, 64)))
        await house.node_done(prompt_id, output, node_id="picture", tenant=tenant)
        user = "ann" if tenant == "acme" else "local"
        await house.release(prompt_id, output, "picture", tenant=tenant, user=user)
        await house.finished(prompt_id, tenant=tenant)
        await house.end(prompt_id, tenant=tenant)

    house.accept_all()
    house.react(RunQueued, run)


async def test_a_sentence_becomes_a_picture_on_the_page(house: House, page: Page):
    work(house)
    await page.goto(f"{house.url}/page")
    await page.get_by_text("Connected. Idle.").wait_for()
    assert "fox" in await page.locator("#card").inner_text()
    await page.get_by_label("What the picture shows").fill("a red heart")
    assert "a red heart" in await page.locator("#curl").inner_text()
    await page.get_by_role("button", name="Make it").click()
    await page.get_by_text("Done.").wait_for()
    shown = page.get_by_role("img", name="a red heart")
    await shown.wait_for()
    assert await shown.evaluate("image => image.naturalWidth") == 64
    await photograph(page, "page.png")
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 390, "height": 844})
    await photograph(page, "page-small-dark.png")
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390


async def test_with_keys_the_page_asks_for_one(engine: AsyncEngine, page: Page):
    async with open_house(engine, auth="keys") as house:
        work(house)
        key = await new_key(engine, "acme", "ann")
        await page.goto(f"{house.url}/page")
        await page.get_by_text("Enter an API key to begin.").wait_for()
        await page.get_by_label("API key").fill(token_of(key))
        await page.get_by_label("API key").blur()
        await page.get_by_text("Connected. Idle.").wait_for()
        await page.get_by_role("button", name="a panda on a pink background").click()
        await page.get_by_text("Done.").wait_for()
        await page.get_by_role("img", name="a panda on a pink background").wait_for()
        await photograph(page, "page-keys.png")
