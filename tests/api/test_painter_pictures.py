"""Painter before a whole house: the demo model's picture, and the same one again from Studio."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
from PIL import Image

from services.painter.answers import Generation
from tests.e2e.houses import wait_until


@pytest.fixture
def painter(painter_url: str) -> httpx.Client:
    """Give a client of Painter."""
    return httpx.Client(base_url=painter_url, timeout=100)


def generated(painter: httpx.Client, path: str = "/api/generate", **body: Any) -> dict[str, Any]:
    answer = painter.post(path, json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    Generation.model_validate(shown)
    return shown


def pixels(data: bytes) -> tuple[tuple[int, int], bytes]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size, image.convert("RGB").tobytes()


@pytest.mark.covers("R008", "R009", "R015", "R018", "R050", "R056", "R235", "R243", "R248", "R249")
def test_a_picture_is_opened_in_studio_and_is_the_same_again(painter: httpx.Client, api_url: str):
    shown = generated(painter, prompt="a red circle on blue")
    (image,) = shown["images"]
    assert 0 < shown["usage"]["compute_ms"] <= shown["seconds"] * 1000
    assert shown["usage"]["cost_credits"] > 0
    first = painter.get(image["url"]).content
    assert pixels(first)[0] == (image["width"], image["height"])
    with Image.open(io.BytesIO(first)) as png:
        assert "painter" in png.info
        assert "prompt" in png.info
    opened = httpx.get(f"{api_url}/?workflow={image['workflow_id']}")
    assert opened.headers["location"] == f"/?template={image['workflow_id']}"
    layout = httpx.get(f"{api_url}/templates/{image['workflow_id']}.json").json()
    sampler = next(node for node in layout["nodes"] if node["type"] == "KSampler")
    assert image["seed"] in sampler["widgets_values"]
    assert "fixed" in sampler["widgets_values"]
    workflow = painter.get(f"/api/generations/{shown['generation_id']}/workflow").json()
    again = httpx.post(f"{api_url}/api/prompt", json=workflow).json()["prompt_id"]
    entry = wait_until(
        lambda: httpx.get(f"{api_url}/api/history/{again}").json().get(again), 60, "the same run"
    )
    (file,) = entry["outputs"]["save"]["images"]
    second = httpx.get(f"{api_url}/view", params=file).content
    assert pixels(first) == pixels(second)
    same = generated(painter, prompt="a red circle on blue", seed=image["seed"])
    assert pixels(painter.get(same["images"][0]["url"]).content) == pixels(first)


@pytest.mark.covers("R237", "R244")
def test_one_of_several_images_is_made_again_by_its_seed(painter: httpx.Client):
    shown = generated(painter, prompt="a star at night", num_images=2, seed=3)
    second = shown["images"][1]
    alone = generated(painter, prompt="a star at night", seed=second["seed"])
    one, other = (
        pixels(painter.get(image["url"]).content) for image in (second, alone["images"][0])
    )
    assert one == other


def test_a_masked_part_alone_is_painted_anew(painter: httpx.Client):
    shown = generated(painter, prompt="a red circle on blue", seed=7)
    mask = io.BytesIO()
    white = Image.new("L", (256, 256), 0)
    white.paste(255, (128, 0, 256, 256))
    white.save(mask, "PNG")
    kept = painter.post("/api/uploads", files={"image": ("mask.png", mask.getvalue())}).json()
    one = f"/api/generations/{shown['generation_id']}"
    changed = generated(painter, f"{one}/inpaint", mask=kept["image"], prompt="a green star")
    before, after = (
        Image.open(io.BytesIO(painter.get(made["images"][0]["url"]).content)).convert("RGB")
        for made in (shown, changed)
    )
    left, right = (0, 0, 120, 256), (136, 0, 256, 256)
    assert before.crop(left).tobytes() == after.crop(left).tobytes()
    assert before.crop(right).tobytes() != after.crop(right).tobytes()


@pytest.mark.covers("R239", "R240", "R249")
def test_what_is_followed_is_seen_for_what_it_is_said_to_cost(painter: httpx.Client):
    picture = io.BytesIO()
    drawn = Image.new("RGB", (128, 96), "black")
    drawn.paste("white", (32, 24, 96, 72))
    drawn.save(picture, "PNG")
    kept = painter.post("/api/uploads", files={"image": ("a.png", picture.getvalue())}).json()
    asked = {"control_image": kept["image"], "control_type": "canny"}
    shown = painter.post("/api/control-maps", json=asked).json()
    assert (shown["status"], shown["error"]) == ("succeeded", None)
    price = painter.get("/api/options").json()["control_map"]
    assert shown["cost_credits"] == price["cost_credits"]
    with Image.open(io.BytesIO(painter.get(shown["image"]).content)) as png:
        levels = png.convert("L").histogram()
    # Thin white lines on black: the edges of the square.
    assert levels[0] > sum(levels[1:]) > 0
    assert painter.post("/api/control-maps", json=asked).json() == shown
