"""What is said where a person looks: in the open dialog, and on a small screen."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.integration.painter_page.choices import DEMO, LARGE
from tests.integration.painter_page.conftest import OpenPage
from tests.integration.painter_page.stand_in import StandIn, painted, serving
from tests.integration.painter_page.test_page_walks import SENTENCE, ask, drop, open_first

pytestmark = pytest.mark.asyncio(loop_scope="module")
PHONE = {"width": 390, "height": 844}
LONG = "an owl on a branch in the snow at night with a lantern and a very long scarf " * 3
HIDDEN = "area => area.scrollHeight - area.clientHeight"
CARRIED = {
    "prompt": "an old owl",
    "model": "sdxl",
    "width": 672,
    "height": 384,
    "seed": 77,
    "control_type": "canny",
}


async def test_a_refusal_is_said_in_the_dialog_that_was_asked_from(open_page: OpenPage):
    stand_in = StandIn()
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await ask(page, "a fox")
        await expect(page.get_by_text("1 picture is ready")).to_be_visible()
        past = page.get_by_role("region", name="Your pictures", exact=True)
        await expect(past.get_by_text("is above")).to_be_visible()
        await past.get_by_label("Search your pictures").fill("fox")
        await expect(past.get_by_role("listitem")).to_have_count(1)
        await open_first(page, "a fox")
        dialog = page.get_by_role("dialog")
        told = dialog.get_by_role("status").filter(has_text="credits do not cover")
        stand_in.refusal = (402, "insufficient_credits", "", {})
        await dialog.get_by_role("button", name="Vary a little").click()
        await expect(told).to_be_visible()
        await told.get_by_role("button", name="Close").click()
        await dialog.get_by_role("button", name="Change a part").click()
        await dialog.locator("canvas").focus()
        await page.keyboard.press("Space")
        stand_in.refusal = (402, "insufficient_credits", "", {})
        await dialog.get_by_role("button", name="Repaint").click()
        await expect(told).to_be_visible()
        assert len(stand_in.generations) == 1


async def test_a_long_sentence_is_seen_whole_on_a_phone(open_page: OpenPage):
    stand_in = StandIn(models=[LARGE, DEMO])
    async with serving(stand_in) as url, open_page(viewport=PHONE, is_mobile=True) as page:
        await page.goto(url)
        box = page.get_by_role("textbox", name=SENTENCE)
        await expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        assert await box.evaluate(HIDDEN) <= 0
        await box.fill(LONG)
        assert await box.evaluate(HIDDEN) <= 0
        await expect(page.get_by_text("0 of 50 today")).to_be_visible()
        await drop(page, painted(CARRIED))
        await expect(page.get_by_text("but not the picture that it followed")).to_be_visible()
        await expect(box).to_have_value("an old owl")
