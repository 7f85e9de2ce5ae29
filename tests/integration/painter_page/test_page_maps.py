"""What of a picture is followed, seen on the page before a picture is made of it."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import FilePayload, expect

from tests.browsing import photograph, serious_faults
from tests.integration.painter_page.choices import LARGE
from tests.integration.painter_page.conftest import OpenPage
from tests.integration.painter_page.stand_in import StandIn, painted, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.covers("R239", "R240")
async def test_a_map_is_seen_once_asked_for_and_what_is_missing_is_said(open_page: OpenPage):
    stand_in = StandIn(models=[LARGE], held=asyncio.Event())
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await page.get_by_role("button", name="Add a picture to follow").click()
        data = painted({"width": 8, "height": 8})
        file: FilePayload = {"name": "a.png", "mimeType": "image/png", "buffer": data}
        await page.locator("input[type=file]").set_input_files(file)
        await page.get_by_role("radio", name="Its outlines").check(force=True)
        await expect(page.get_by_role("radio", name="Its depth")).to_be_disabled()
        await expect(page.get_by_text("Reading depth needs a file")).to_be_visible()
        await expect(page.get_by_text("0.02 credits, counts as one")).to_be_visible()
        stand_in.refusal = (402, "insufficient_credits", "", {})
        see = page.get_by_role("button", name="See its outlines")
        await see.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("credits do not cover")).to_be_visible()
        await page.get_by_role("button", name="Try again").click()
        await expect(page.get_by_role("status").filter(has_text="Drawing")).to_be_visible()
        assert stand_in.held is not None
        stand_in.held.set()
        shown = page.get_by_alt_text("The outlines that are followed", exact=False)
        await expect(shown).to_have_count(2)
        assert await serious_faults(page) == []
        await photograph(page, "painter-map.png")
        await page.get_by_role("radio", name="Its pose").check(force=True)
        await page.get_by_role("button", name="See its pose").click()
        await expect(page.get_by_text("Nothing was found to follow")).to_be_visible()
        await page.get_by_role("radio", name="Its outlines").check(force=True)
        await expect(shown).to_have_count(2)
    assert list(stand_in.maps) == ["canny-1", "pose-2"]
