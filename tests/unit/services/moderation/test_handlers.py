"""Moderation on a bus that delivers everything twice, with the real network."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from libs.artifacts.memory import MemoryArtifacts
from libs.bus.memory import MemoryBus
from libs.chassis.service import Service
from libs.events.execution import NodeFinished, Output
from libs.events.moderation import OutputBlocked, OutputReleased, PromptBlocked, PromptCleared
from libs.events.prompt import PromptSubmitted
from libs.events.verdict import PromptValidated, WorkEstimate
from libs.media.films import encode_film
from libs.media.pictures import encode_animated_webp, encode_gif
from libs.media.png import encode_animated_png
from libs.sealed.vault import MemoryVault
from services.moderation.classifiers import OpenNsfw, PictureClassifier
from services.moderation.handlers import Moderation
from services.moderation.main import OWN_BLOCKLIST, read_blocklist
from tests.unit.house import append, running

PROMPT = "0199c6a0-0000-7000-8000-000000000001"
QUARANTINED = f"quarantine/acme/{PROMPT}/1/3-0"
RELEASED = f"outputs/acme/ada/{PROMPT}/1/3-0"


class SaysNude:
    """A classifier that finds nudity in whatever it sees."""

    name = "says-nude"

    async def scores(self, data: bytes, mime: str) -> Mapping[str, float]:
        return {"nudity": 0.99} if data else {}


def png(color: tuple[int, int, int] = (30, 60, 200)) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (256, 256), color).save(sink, "PNG")
    return sink.getvalue()


class Place:
    """Moderation with everything around it in memory."""

    def __init__(self, classifier: PictureClassifier) -> None:
        self.bus = MemoryBus("moderation", deliver_twice=True)
        self.artifacts = MemoryArtifacts()
        self.vault = MemoryVault(self.artifacts)
        hands = Moderation(
            journal=self.bus.journal,
            artifacts=self.artifacts,
            vault=self.vault,
            classifier=classifier,
            blocklist=read_blocklist(OWN_BLOCKLIST),
            thresholds={"nudity": 0.85},
        )
        self.service = Service(
            name="moderation",
            reacts={
                PromptSubmitted: hands.on_prompt_submitted,
                PromptValidated: hands.on_prompt_validated,
                NodeFinished: hands.on_node_finished,
            },
        )

    async def submit(self, text: str, tenant: str = "acme", user: str = "ada") -> None:
        graph: Any = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": text}}}
        workflow = await self.vault.seal(tenant, user, {"prompt": graph})
        await append(
            self.bus,
            PromptSubmitted(
                prompt_id=PROMPT,
                user_id=user,
                account=user,
                tier="pro",
                dialect="comfyui",
                workflow=workflow,
                body_mac="m",
                keyed=False,
            ),
            tenant,
        )

    async def finish(self, data: bytes, mime: str = "image/png") -> None:
        await self.artifacts.put(QUARANTINED, data, mime)
        output = Output(
            index=0,
            kind="images",
            filename="a_00001_.png",
            subfolder="",
            folder="output",
            artifact=QUARANTINED,
            sha256="ab",
            mime=mime,
            size_bytes=len(data),
        )
        await append(
            self.bus,
            NodeFinished(
                prompt_id=PROMPT,
                attempt=1,
                worker_id="w",
                order=3,
                node_id="9",
                node_type="SaveImage",
                outputs=(output,),
            ),
        )

    def said(self) -> list[object]:
        kinds = (PromptCleared, PromptBlocked, OutputReleased, OutputBlocked)
        return [event for event in self.bus.journal_events() if isinstance(event, kinds)]


@pytest.mark.covers("R344")
@pytest.mark.parametrize(
    ("text", "answer"),
    [("a red fox", PromptCleared), ("a swastika on a wall", PromptBlocked)],
)
async def test_the_words_of_a_valid_prompt_are_answered_once(text, answer):
    place = Place(SaysNude())
    async with running(place.bus, place.service):
        await place.submit(text)
        await append(
            place.bus,
            PromptValidated(
                prompt_id=PROMPT,
                account="ada",
                tier="pro",
                outputs=("9",),
                nodes=1,
                estimate=WorkEstimate(megapixel_steps=1, images=1, steps=1),
            ),
        )
        await place.bus.drain()
    (said,) = place.said()
    assert isinstance(said, answer)
    assert "swastika" not in said.model_dump_json()


@pytest.mark.covers("P14")
async def test_a_picture_stays_its_users_though_another_tenant_chose_the_same_id():
    place = Place(OpenNsfw(1))
    async with running(place.bus, place.service):
        await place.submit("a blue square")
        await place.submit("a red fox", tenant="umbra", user="eve")
        validated = PromptValidated(
            prompt_id=PROMPT,
            account="eve",
            tier="pro",
            outputs=("9",),
            nodes=1,
            estimate=WorkEstimate(megapixel_steps=1, images=1, steps=1),
        )
        await append(place.bus, validated, "umbra")
        await place.bus.drain()
        await place.finish(png())
        await place.bus.drain()
    assert [one.artifact for one in place.said() if isinstance(one, OutputReleased)] == [RELEASED]


@pytest.mark.covers("R339")
async def test_a_harmless_picture_leaves_quarantine_once_and_can_be_served():
    place = Place(OpenNsfw(1))
    async with running(place.bus, place.service):
        await place.submit("a blue square")
        await place.finish(png())
        await place.bus.drain()
    (said,) = place.said()
    assert isinstance(said, OutputReleased)
    assert said.artifact == RELEASED
    assert said.scores["nudity"] == 0
    assert await place.artifacts.get(RELEASED) == png()


@pytest.mark.covers("R305", "R339")
async def test_an_unsafe_picture_stays_in_quarantine():
    place = Place(SaysNude())
    async with running(place.bus, place.service):
        await place.submit("a person")
        await place.finish(png())
        await place.bus.drain()
    (said,) = place.said()
    assert isinstance(said, OutputBlocked)
    assert said.category == "nudity"
    assert await place.artifacts.info(RELEASED) is None


async def test_bytes_that_only_claim_to_be_a_picture_are_blocked():
    place = Place(OpenNsfw(1))
    async with running(place.bus, place.service):
        await place.submit("a trick")
        await place.finish(b"not a picture at all")
        await place.bus.drain()
    (said,) = place.said()
    assert isinstance(said, OutputBlocked)
    assert said.category == "unjudged"


def grey(level: int) -> Any:
    return np.full((32, 32, 3), level, np.uint8)


class SeesWhite(OpenNsfw):
    """The real way to look, and a network that finds white unsafe."""

    def _score(self, frame: Image.Image) -> float:
        return 0.99 if frame.resize((1, 1)).convert("L").getpixel((0, 0)) > 200 else 0.01  # type: ignore[operator]


def encoded(kind: str, drawn: list[Any]) -> bytes:
    texts: dict[str, str] = {}
    match kind:
        case "image/gif":
            return encode_gif(drawn, 10)
        case "image/png":
            return encode_animated_png(drawn, texts, 100)
        case "image/webp":
            return encode_animated_webp(
                drawn, texts, fps=10, lossless=True, quality=80, method="fastest"
            )
        case "video/webm":
            return encode_film(drawn, texts, codec="vp9", fps=10)
    return encode_film(drawn, texts, codec="h264", fps=10)


MOVING = ["image/gif", "image/png", "image/webp", "video/webm", "video/mp4"]


@pytest.mark.covers("R339")
@pytest.mark.parametrize("mime", MOVING)
@pytest.mark.parametrize(("unsafe", "answer"), [((), OutputReleased), ((24,), OutputBlocked)])
async def test_what_moves_is_judged_by_its_frames_to_the_last(mime, unsafe, answer):
    drawn = [grey(255 if number in unsafe else 40 + number) for number in range(25)]
    place = Place(SeesWhite(1))
    async with running(place.bus, place.service):
        await place.submit("a film")
        await place.finish(encoded(mime, drawn), mime)
        await place.bus.drain()
    (said,) = place.said()
    assert isinstance(said, answer)
    assert said.classifier
    assert (await place.artifacts.info(RELEASED) is None) == (answer is OutputBlocked)


@pytest.mark.parametrize("mime", ["video/mp4", "video/webm", "image/gif"])
async def test_a_film_that_cannot_be_opened_is_blocked(mime):
    place = Place(OpenNsfw(1))
    async with running(place.bus, place.service):
        await place.submit("a trick")
        await place.finish(b"GIF89a and nothing behind it", mime)
        await place.bus.drain()
    (said,) = place.said()
    assert isinstance(said, OutputBlocked)
    assert said.category == "unjudged"


@pytest.mark.covers("R340")
async def test_the_network_scores_noise_and_colours_as_safe():
    network = OpenNsfw(1)
    noise = np.random.default_rng(1).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(noise).save(sink, "PNG")
    for data in (png(), png((250, 250, 250)), sink.getvalue()):
        assert (await network.scores(data, "image/png"))["nudity"] < 0.85


async def test_a_picture_that_is_drawn_in_its_transparency_is_looked_at_as_well():
    network = OpenNsfw(1)
    noise = np.random.default_rng(1).integers(0, 255, (64, 64), dtype=np.uint8)
    picture = Image.new("RGB", (64, 64), (9, 9, 9))
    sink = io.BytesIO()
    picture.putalpha(Image.fromarray(noise))
    picture.save(sink, "PNG")
    assert (await network.scores(sink.getvalue(), "image/png"))["nudity"] > 0


async def test_one_colour_is_not_shown_to_the_network_but_one_pixel_more_is():
    network = OpenNsfw(1)
    picture = Image.new("RGB", (64, 64), (9, 9, 9))
    picture.putpixel((0, 0), (9, 9, 10))
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    assert await network.scores(png(), "image/png") == {"nudity": 0.0}
    assert (await network.scores(sink.getvalue(), "image/png"))["nudity"] > 0
