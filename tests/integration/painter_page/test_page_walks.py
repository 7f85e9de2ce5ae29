"""The page against a service that answers as a test wishes."""

from __future__ import annotations

import asyncio
import io
import json
import re
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import FilePayload, Page, expect

from tests.browsing import photograph, serious_faults
from tests.integration.painter_page.choices import DEMO, LARGE, LOCKED
from tests.integration.painter_page.conftest import OpenPage
from tests.integration.painter_page.stand_in import StandIn, painted, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
SENTENCE = re.compile("Describe your picture")
ALL = [LARGE, DEMO, LOCKED]


async def ask(page: Page, sentence: str) -> None:
    """Type a sentence and press the button."""
    await page.get_by_role("textbox", name=SENTENCE).fill(sentence)
    await page.get_by_role("button", name="Generate").click()


async def pick(page: Page, fold: str, option: str) -> None:
    """Open a fold and choose an option in it."""
    await page.get_by_role("button", name=re.compile(f"^{fold}:")).click()
    await page.get_by_role("group", name=fold).get_by_role("radio", name=option).click()


async def open_first(page: Page, sentence: str) -> None:
    """Open the first picture of a sentence."""
    await page.get_by_role("button", name=f"Open picture: {sentence}").first.click()


@pytest.mark.covers("R047", "R048", "R018")
async def test_style_shape_and_model_are_what_is_asked_for(open_page: OpenPage):
    stand_in = StandIn(models=ALL)
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await pick(page, "Style", "Watercolor")
        await pick(page, "Shape", "Wide")
        await page.get_by_role("radio", name="2", exact=True).check(force=True)
        await ask(page, "an owl")
        await expect(page.get_by_role("status").filter(has_text="2 pictures")).to_be_visible()
        await pick(page, "Model", "Demo model")
        await page.get_by_role("button", name="Generate").click()
        await expect(page.get_by_role("status").filter(has_text="ready")).to_have_count(2)
    first, second = stand_in.bodies
    size = {"width": 672, "height": 384}
    assert first == {
        "prompt": "an owl",
        "model": "sdxl",
        "num_images": 2,
        "seed": -1,
        "style": "watercolor",
        **size,
    }
    assert (second["model"], second["width"], second["height"]) == ("demo", 256, 256)


async def test_a_reload_in_the_middle_finds_the_run_again(open_page: OpenPage):
    stand_in = StandIn(held=asyncio.Event())
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await ask(page, "a fox")
        await expect(page.get_by_text("2 pictures are ahead of you")).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("2 pictures are ahead of you")).to_be_visible()
        assert stand_in.held is not None
        stand_in.held.set()
        await expect(page.get_by_text("1 picture is ready")).to_be_visible()
        assert len(stand_in.generations) == 1


async def test_a_broken_connection_is_said_and_mended(open_page: OpenPage):
    stand_in = StandIn(breaks=2)
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await ask(page, "a fox")
        await expect(page.get_by_text("Finding your picture again")).to_be_visible()
        await expect(page.get_by_text("1 picture is ready")).to_be_visible()


async def test_an_order_whose_answer_was_lost_is_one_run_after_a_reload(open_page: OpenPage):
    stand_in = StandIn()
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await page.route("**/api/generate", lambda route: lose(route, stand_in))
        await ask(page, "a fox")
        await expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        await page.unroute("**/api/generate")
        await page.reload()
        await expect(page.get_by_text("1 picture is ready")).to_be_visible()
        assert len(stand_in.generations) == 1
        assert len(stand_in.keys) == 1


async def lose(route: Any, stand_in: StandIn) -> None:
    """Let a request through to the service, and lose the answer."""
    await route.fetch()
    assert stand_in.keys
    await route.abort()


async def test_a_run_is_cancelled(open_page: OpenPage):
    stand_in = StandIn(held=asyncio.Event())
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await ask(page, "a fox")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_text("Cancelled")).to_be_visible()
        await expect(page.get_by_text("Nothing was charged")).to_be_visible()
        assert stand_in.held is not None
        stand_in.held.set()


REFUSALS = [
    (402, "insufficient_credits", "", {}, "credits do not cover"),
    (429, "daily_limit_reached", "", {"Retry-After": "7200"}, "Try again in 2 hours"),
    (429, "queue_full", "", {"Retry-After": "3"}, "Try again in 3 seconds"),
    (403, "content_blocked", "", {}, "say it differently"),
    (403, "tier_limit_exceeded", "your plan ends at 1 picture", {}, "Your plan ends at 1 picture."),
    (503, "busy", "", {"Retry-After": "1"}, "busy or starting"),
]


async def test_every_refusal_has_plain_words_and_the_sentence_stays(open_page: OpenPage):
    stand_in = StandIn()
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        for *answer, words in REFUSALS:
            stand_in.refusal = tuple(answer)  # type: ignore[assignment]
            await ask(page, "a fox")
            await expect(page.get_by_role("alert")).to_contain_text(words)
        await expect(page.get_by_role("textbox", name=SENTENCE)).to_have_value("a fox")
        assert not stand_in.generations


async def test_a_sentence_is_enhanced_and_taken_back(open_page: OpenPage):
    async with serving(StandIn(enhance=True)) as url, open_page() as page:
        await page.goto(url)
        box = page.get_by_role("textbox", name=SENTENCE)
        await box.fill("a fox")
        await page.get_by_role("button", name="Enhance").click()
        await expect(box).to_have_value("a fox, golden light, fine detail")
        await page.get_by_role("button", name="Undo").click()
        await expect(box).to_have_value("a fox")


async def test_where_keys_are_asked_for_one_signs_in(open_page: OpenPage):
    stand_in = StandIn(auth="keys", token="sk-hanzo-right")
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await page.get_by_label("Access key").fill("sk-hanzo-wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert").first).to_contain_text("not known here")
        assert await serious_faults(page) == []
        await photograph(page, "painter-login.png")
        await page.get_by_label("Access key").fill("sk-hanzo-right")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        await ask(page, "a fox")
        await expect(page.get_by_text("1 picture is ready")).to_be_visible()


async def test_unfinished_pictures_are_shown_where_the_house_allows_it(open_page: OpenPage):
    stand_in = StandIn(previews=True, steps=400)
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await ask(page, "a fox")
        await expect(page.get_by_alt_text("The picture so far")).to_be_visible()
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_text("Nothing was charged")).to_be_visible()


async def test_one_goes_on_from_a_picture(open_page: OpenPage):
    stand_in = StandIn(models=ALL)
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await ask(page, "a fox")
        await expect(page.get_by_text("1 picture is ready")).to_be_visible()
        for name in ("Vary a little", "Vary a lot", re.compile("^Enlarge 2")):
            await open_first(page, "a fox")
            await page.get_by_role("button", name=name).click()
            await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(page.get_by_role("status").filter(has_text="ready")).to_have_count(4)
        await open_first(page, "a fox")
        await page.get_by_role("button", name="Change a part").click()
        await paint(page)
        await page.get_by_label("What should be there?").fill("an owl")
        assert await serious_faults(page) == []
        await photograph(page, "painter-repaint.png")
        await page.get_by_role("button", name="Repaint").click()
        await expect(page.get_by_role("status").filter(has_text="ready")).to_have_count(5)
    assert stand_in.bodies[1:4] == [
        {"image": 0, "strength": "subtle"},
        {"image": 0, "strength": "strong"},
        {"image": 0},
    ]
    last = stand_in.bodies[4]
    assert last["prompt"] == "an owl"
    assert white_share(last["mask"]) > 0.02


async def paint(page: Page) -> None:
    """Draw a line with the mouse, and a dab with the keyboard."""
    canvas = page.locator("canvas")
    box = await canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + 60, y + 20, steps=4)
    await page.mouse.up()
    await canvas.focus()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Space")


def white_share(mask: str) -> float:
    """Return how much of a mask is white; it is nothing but black and white and their edge."""
    import base64

    picture = Image.open(io.BytesIO(base64.b64decode(mask.partition(",")[2]))).convert("L")
    white = sum(picture.histogram()[200:])
    return white / (picture.width * picture.height)


async def test_a_dropped_picture_brings_its_settings_back(open_page: OpenPage):
    settings = {
        "prompt": "an old owl",
        "negative_prompt": "text",
        "model": "sdxl",
        "width": 672,
        "height": 384,
        "seed": 77,
        "style": "photo",
        "num_images": 1,
    }
    stand_in = StandIn(models=ALL)
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        await drop(page, painted(settings))
        await expect(page.get_by_text("Its settings are back")).to_be_visible()
        await page.get_by_role("button", name="Generate").click()
        await expect(page.get_by_text("1 picture is ready")).to_be_visible()
        assert stand_in.bodies == [settings]
        plain = io.BytesIO()
        Image.new("RGB", (8, 8)).save(plain, "PNG")
        await drop(page, plain.getvalue())
        await expect(page.get_by_text("Its look", exact=True)).to_be_visible()
        assert stand_in.uploads == [len(plain.getvalue())]


async def drop(page: Page, data: bytes) -> None:
    """Drop a file onto the page, as from the desktop."""
    await page.evaluate(
        """bytes => {
          const files = new DataTransfer()
          files.items.add(new File([new Uint8Array(bytes)], "a.png", {type: "image/png"}))
          for (const name of ["dragover", "drop"])
            window.dispatchEvent(new DragEvent(name, {dataTransfer: files, cancelable: true}))
        }""",
        list(data),
    )


async def test_a_picture_is_followed_in_the_way_that_is_chosen(open_page: OpenPage):
    stand_in = StandIn(models=ALL)
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await page.get_by_role("button", name="Add a picture to follow").click()
        file: FilePayload = {"name": "a.png", "mimeType": "image/png", "buffer": painted(SMALL)}
        await page.locator("input[type=file]").set_input_files(file)
        await page.get_by_role("radio", name="Its outlines").check(force=True)
        assert await serious_faults(page) == []
        await photograph(page, "painter-follow.png")
        await page.get_by_role("button", name="Done").click()
        await ask(page, "a fox")
        await expect(page.get_by_text("1 picture is ready")).to_be_visible()
    assert stand_in.bodies[0]["control_image"] == "upload:1"
    assert stand_in.bodies[0]["control_type"] == "canny"


SMALL = {"width": 8, "height": 8}


async def test_pictures_are_searched_loved_and_deleted(open_page: OpenPage):
    stand_in = StandIn()
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        for number, sentence in enumerate(["a fox", "an owl", "a fox at night"], 1):
            await ask(page, sentence)
            ready = page.get_by_role("status").filter(has_text="ready")
            await expect(ready).to_have_count(number)
        await page.reload()
        past = page.get_by_role("region", name="Your pictures", exact=True)
        await expect(past.get_by_role("listitem")).to_have_count(3)
        await past.get_by_label("Search your pictures").fill("fox")
        await expect(past.get_by_role("listitem")).to_have_count(2)
        await past.get_by_role("button", name="Add to favourites").first.click(force=True)
        await past.get_by_role("button", name="Favourites", exact=True).click()
        await expect(past.get_by_role("listitem")).to_have_count(1)
        await open_first(page, "a fox at night")
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("alert").get_by_role("button", name="Delete").click()
        await expect(past.get_by_role("listitem")).to_have_count(0)
        assert len(stand_in.generations) == 2
        await page.get_by_role("button", name="Recent sentences").click()
        await page.get_by_role("button", name="an owl", exact=True).click()
        await expect(page.get_by_role("textbox", name=SENTENCE)).to_have_value("an owl")


async def test_older_pictures_come_as_one_scrolls(open_page: OpenPage):
    stand_in = StandIn(page_size=2)
    for number in range(5):
        body = {"prompt": f"owl {number}", "model": "demo", "width": 256, "height": 256}
        stand_in.end(stand_in.generations[stand_in.begin({}, body)])
    async with serving(stand_in) as url, open_page(viewport={"width": 700, "height": 1600}) as page:
        await page.goto(url)
        past = page.get_by_role("region", name="Your pictures", exact=True)
        await expect(past.get_by_role("listitem")).to_have_count(5)
        await expect(page.get_by_role("button", name="Show more")).to_be_hidden()


async def test_everything_works_without_a_mouse(open_page: OpenPage):
    stand_in = StandIn(models=ALL)
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        await page.get_by_role("textbox", name=SENTENCE).focus()
        await page.keyboard.type("a fox")
        # Past the four tools beside the sentence to the first of the choices.
        tabs = 5
        for _ in range(tabs):
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Control+Enter")
        await page.get_by_role("textbox", name=SENTENCE).focus()
        await page.keyboard.press("Control+Enter")
        await expect(page.get_by_text("1 picture is ready")).to_be_visible()
        await page.get_by_role("button", name="Open picture: a fox").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(page.get_by_role("button", name="Open picture: a fox")).to_be_focused()
    assert stand_in.bodies[0]["style"] == "photo"


async def test_new_models_appear_by_themselves(open_page: OpenPage):
    stand_in = StandIn()
    async with serving(stand_in) as url, open_page() as page:
        await page.clock.install()
        await page.goto(url)
        await expect(page.get_by_text("You are using the demo model")).to_be_visible()
        stand_in.models = [LARGE, DEMO]
        await page.clock.fast_forward(16_000)
        await page.get_by_role("button", name=re.compile("^Model:")).click()
        await expect(page.get_by_text("Stable Diffusion XL").last).to_be_visible()


async def test_a_service_that_speaks_strangely_is_said_not_shown(open_page: OpenPage):
    stand_in = StandIn(models=[{"name": 7}])
    async with serving(stand_in) as url, open_page() as page:
        await page.goto(url)
        await expect(page.get_by_role("alert")).to_contain_text("does not understand")
        assert json.dumps(stand_in.models) not in await page.content()
