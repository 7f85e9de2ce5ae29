"""A newcomer and the Painter page, with a real house and the demo model."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Page, expect

from services.gateway.editor import installed
from tests.browsing import CHROMIUM, SITE, browse, photograph, serious_faults, watched
from tests.e2e.houses import House
from tests.e2e.watching import Watcher, submit

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(
        not (SITE / "index.html").is_file(), reason="the Painter page is not built: make page-test"
    ),
    pytest.mark.timeout(240),
]
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
FIRST_PAINT_MS_MAX = 1000
EXAMPLE = "a fox in the snow"
FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
NODES = "() => window.app?.graph?.nodes?.map(node => node.type) ?? []"
# What the editor shows and hands in, told by the editor itself.
AS_PROMPT = "async () => (await window.app.graphToPrompt()).output"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Run a browser."""
    async with browse() as running:
        yield running


@pytest.fixture
def painter(shared_house: House) -> str:
    """Return where the page is."""
    return str(shared_house.told["painter"])


def ready(page: Page, count: int) -> Any:
    """Return the words that so many pictures are there."""
    words = "1 picture is ready" if count == 1 else f"{count} pictures are ready"
    return page.get_by_role("status").filter(has_text=words)


@pytest.mark.covers("R005", "R009", "R018", "R047", "R050")
async def test_a_newcomer_has_a_picture_after_one_sentence_and_one_click(
    browser: Browser, painter: str
):
    async with watched(browser, viewport=DESK) as page:
        await page.goto(painter)
        await expect(page.get_by_text("You are using the demo model")).to_be_visible()
        await photograph(page, "painter-first.png")
        assert await serious_faults(page) == []
        await page.get_by_role("textbox", name="Describe your picture").fill("a yellow star")
        await page.get_by_role("button", name="Generate").click()
        await expect(ready(page, 1)).to_be_visible()
        shown = page.get_by_role("img", name="a yellow star")
        await expect(shown).to_be_visible()
        assert await shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 256
        assert await serious_faults(page) == []


async def test_the_first_paint_is_there_within_a_second(browser: Browser, painter: str):
    async def once() -> float:
        async with watched(browser, viewport=DESK) as page:
            await page.goto(painter)
            await page.wait_for_function(FIRST_PAINT)
            return float(await page.evaluate(FIRST_PAINT))

    # Whatever else the machine does, it is not the page's doing: the best of a few counts.
    assert min([await once() for _ in range(3)]) < FIRST_PAINT_MS_MAX


@pytest.mark.covers("R031", "R049", "R051")
async def test_an_example_becomes_four_pictures_on_a_phone(browser: Browser, painter: str):
    settings = {"viewport": PHONE, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}
    async with watched(browser, **settings) as page:
        await page.goto(painter)
        await page.get_by_role("radio", name="4", exact=True).tap()
        await page.get_by_role("button", name=EXAMPLE, exact=True).tap()
        await expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        await photograph(page, "painter-phone-painting.png")
        await expect(ready(page, 4)).to_be_visible()
        await expect(page.locator(".stage .wet")).to_have_count(0)
        await photograph(page, "painter-phone-dark.png", whole=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert await serious_faults(page) == []
        for word in ("sampler", "scheduler", "denoise", "latent", "VAE", "node", "CFG"):
            assert not re.search(rf"\b{word}s?\b", await page.inner_text("body"), re.IGNORECASE)
        await page.emulate_media(color_scheme="light")
        await photograph(page, "painter-phone-light.png")
        assert await serious_faults(page) == []
        await page.get_by_role("button", name=re.compile("^Style:")).tap()
        await photograph(page, "painter-phone-styles.png")


async def test_one_picture_leads_to_others_and_a_reload_loses_none(browser: Browser, painter: str):
    async with watched(browser, viewport=DESK) as page:
        await page.goto(painter)
        await page.get_by_role("button", name="a rocket at night", exact=True).click()
        await page.reload()
        await expect(ready(page, 1)).to_be_visible()
        await page.locator(".stage .picture").first.click()
        await page.get_by_role("button", name="Enlarge 2").click()
        await expect(ready(page, 1)).to_have_count(2)
        await page.locator(".stage .picture").first.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text("512 × 512")).to_be_visible()  # noqa: RUF001
        await expect(dialog.get_by_text("Enlarged")).to_be_visible()
        await dialog.get_by_role("img").first.evaluate("image => image.decode()")
        await photograph(page, "painter-viewer.png")
        assert await serious_faults(page) == []
        await dialog.get_by_role("button", name="Use these settings").click()
        box = page.get_by_role("textbox", name="Describe your picture")
        await expect(box).to_have_value("a rocket at night")
        await page.get_by_role("button", name="Theme: as the system").click()
        await page.get_by_role("button", name="Theme: light").click()
        await page.reload()
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
        await expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        await photograph(page, "painter-desk-dark.png")
        assert await serious_faults(page) == []


@pytest.mark.covers("R056", "R245")
@pytest.mark.skipif(installed() is None, reason="the extra `editor` is not installed")
async def test_a_picture_opens_in_studio_and_comes_out_the_same(
    browser: Browser, painter: str, shared_house: House
):
    async with watched(browser, viewport=DESK) as page:
        await page.goto(painter)
        await page.get_by_role("button", name="a house in the snow", exact=True).click()
        await expect(ready(page, 1)).to_be_visible()
        await page.locator(".stage .picture").first.click()
        link = await page.get_by_role("link", name="Open in Studio").get_attribute("href")
        picture = await page.get_by_role("link", name="Download").get_attribute("href")
    graph = await seen_in_editor(browser, str(link))
    async with httpx.AsyncClient(timeout=60) as http:
        made = (await http.get(f"{painter}{picture}")).content
    assert pixels(await asyncio.to_thread(run_again, shared_house, graph)) == pixels(made)


async def seen_in_editor(browser: Browser, link: str) -> dict[str, Any]:
    """Open a link in the editor; return the graph that its Run button would hand in."""
    page = await (await browser.new_context(viewport={"width": 1280, "height": 900})).new_page()
    await page.goto(link, timeout=120_000)
    await page.wait_for_function(f"() => ({NODES})().includes('SaveImage')", timeout=120_000)
    await page.wait_for_timeout(300)
    await photograph(page, "painter-in-studio.png")
    graph: dict[str, Any] = await page.evaluate(AS_PROMPT)
    await page.context.close()
    return graph


def run_again(house: House, graph: dict[str, Any]) -> bytes:
    """Run a graph; return its picture."""
    with house.client() as api, Watcher(house) as watcher:
        prompt_id = submit(api, graph, watcher.client_id)
        watcher.until_end(prompt_id)
        entry = api.get(f"/history/{prompt_id}").json()[prompt_id]
        image = next(i for o in entry["outputs"].values() for i in o.get("images", ()))
        return api.get("/view", params=image).content


def pixels(data: bytes) -> bytes:
    """Return the pixels of a PNG."""
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


async def test_settings_travel_inside_the_picture(browser: Browser, painter: str):
    async with watched(browser, viewport=DESK) as page:
        await page.goto(painter)
        await page.get_by_role("button", name="a yellow star on purple", exact=True).click()
        await expect(ready(page, 1)).to_be_visible()
        await page.locator(".stage .picture").first.click()
        picture = await page.get_by_role("link", name="Download").get_attribute("href")
    async with httpx.AsyncClient(timeout=60) as http:
        data = (await http.get(f"{painter}{picture}")).content
    settings = json.loads(Image.open(io.BytesIO(data)).info["painter"])["settings"]
    assert settings["prompt"] == "a yellow star on purple"
    async with watched(browser, viewport=DESK) as page:
        await page.goto(painter)
        await expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        await page.evaluate(
            """bytes => {
              const files = new DataTransfer()
              files.items.add(new File([new Uint8Array(bytes)], "a.png", {type: "image/png"}))
              window.dispatchEvent(new DragEvent("drop", {dataTransfer: files, cancelable: true}))
            }""",
            list(data),
        )
        box = page.get_by_role("textbox", name="Describe your picture")
        await expect(box).to_have_value("a yellow star on purple")
