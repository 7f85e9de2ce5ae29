"""What Studio says of a prompt becomes a generation; how far it is, what was typed before."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from libs.core.errors import Refused, StudioError, Unavailable
from services.painter.answers import Generation
from services.painter.domain.progress import Progress
from services.painter.domain.record import Image, Record, extra_data_of, record_in
from services.painter.domain.telling import Places, Seen, seen_ended, seen_open, told
from services.painter.studio import refusal_of
from services.painter.watching import CHANGED, Listener, News, preview_in

SETTINGS: dict[str, Any] = {
    "prompt": "a fox", "negative_prompt": "", "model": "sdxl", "width": 64, "height": 64,
    "steps": 30, "cfg_scale": 7.0, "seed": 7, "style": "none", "num_images": 2,
    "reference": None, "control_type": None,
}  # fmt: skip
RECORD = Record("generate", SETTINGS, (Image("save", 64, 64, 7), Image("save_2", 64, 64, 8)))
PLACES = Places("http://here:3035", "http://there:8188")
FILE = {"filename": "painter_00001_.png", "subfolder": "", "type": "output"}


def entry(**more: Any) -> dict[str, Any]:
    return {
        "extra_data": extra_data_of(RECORD, previews=False),
        "outputs": {"save_2": {"images": [FILE]}},
        "usage": {"compute_ms": 1200, "cost_credits": 0.4},
        "outcome": "succeeded",
        "status": {"messages": [["2026-01-01T00:00:00.000Z", "execution_start"]]},
        "submitted": "2026-01-01T00:00:00.000Z",
        "ended": "2026-01-01T00:00:02.500Z",
        **more,
    }


def ended(**more: Any) -> Seen:
    found = seen_ended("0199", entry(**more))
    assert found is not None
    return found


def test_a_record_is_read_as_it_was_written():
    assert record_in(extra_data_of(RECORD, previews=True)) == RECORD
    assert extra_data_of(RECORD, previews=True)["preview_method"] == "auto"


@pytest.mark.parametrize(
    "extra",
    [
        None, [], {}, {"extra_pnginfo": 7}, {"extra_pnginfo": {"painter": {"version": 2}}},
        {"extra_pnginfo": {"painter": {"version": 1, "kind": "x", "images": [{"node": 1}]}}},
        {"extra_pnginfo": {"painter": {"version": 1, "images": "all"}}},
    ],
)  # fmt: skip
def test_a_prompt_of_somebody_elses_has_no_record(extra: Any):
    assert record_in(extra) is None


@pytest.mark.covers("R241", "R242", "R243", "R244", "R245", "R246", "R247", "R248", "R249")
def test_a_generation_is_told_as_the_document_says():
    shown: Any = told(ended(), PLACES)
    Generation.model_validate(shown)
    (image,) = shown["images"]
    assert image == {
        "index": 1,
        "url": "http://here:3035/api/generations/0199/images/1",
        "width": 64,
        "height": 64,
        "seed": 8,
        "workflow_id": "0199",
    }
    assert shown["usage"] == {
        "model": "sdxl",
        "steps": 30,
        "compute_ms": 1200,
        "cost_credits": 0.4,
    }
    assert (shown["seconds"], shown["studio_url"]) == (2.5, "http://there:8188/?workflow=0199")


@pytest.mark.parametrize(
    ("outcome", "message", "status", "kind"),
    [
        ("blocked", "execution_error: withheld", "blocked", "content_blocked"),
        ("failed", "execution_error: out of memory", "failed", "generation_failed"),
        ("expired", "execution_error: nobody came", "failed", "generation_failed"),
        ("cancelled", "execution_interrupted", "cancelled", "cancelled"),
    ],
)
def test_an_end_without_pictures_is_told_in_words(
    outcome: str, message: str, status: str, kind: str
):
    found = ended(outcome=outcome, outputs={}, status={"messages": [["t", message]]})
    shown: Any = told(found, PLACES)
    Generation.model_validate(shown)
    assert (shown["status"], shown["error"]["type"], shown["images"]) == (status, kind, [])
    assert shown["error"]["message"].endswith(".")
    assert ("memory" in shown["error"]["message"]) == ("memory" in message)


def test_an_open_generation_has_a_place_or_progress():
    extra = {**extra_data_of(RECORD, previews=False), "create_time": 1_767_225_600_123}
    waiting = seen_open("0199", extra, running=False, place=3)
    running = seen_open("0199", extra, running=True, place=None)
    assert waiting is not None
    assert running is not None
    step: dict[str, Any] = {"step": 1, "steps": 2, "fraction": 0.5}
    shown = told(waiting, PLACES, step)
    Generation.model_validate(shown)
    assert (shown["status"], shown["place"], shown["progress"]) == ("queued", 3, None)
    assert shown["created"] == "2026-01-01T00:00:00.123Z"
    assert told(running, PLACES, step)["progress"] == step


def test_progress_counts_the_steps_of_all_samplers():
    progress = Progress(3)
    assert progress.told is None
    assert progress.hear("progress", {"node": "sampler", "value": 12, "max": 24})
    assert progress.told == {"step": 12, "steps": 72, "fraction": 0.1667}
    progress.hear("progress", {"node": "sampler", "value": 24, "max": 24})
    assert not progress.hear("progress", {"node": "decode", "value": 1, "max": 9})
    progress.hear("progress_state", {"nodes": {"sampler_2": {"value": 6, "max": 24}}})
    assert progress.told == {"step": 30, "steps": 72, "fraction": 0.4167}


def test_enlarging_counts_its_own_steps():
    progress = Progress(1)
    progress.hear("progress", {"node": "upscaled", "value": 3, "max": 4})
    assert progress.told == {"step": 3, "steps": 4, "fraction": 0.75}


async def test_a_listener_that_is_slow_misses_steps_and_no_change():
    listener = Listener()
    for step in range(40):
        listener.tell(News("progress", {"step": step}))
    listener.tell(CHANGED)
    listener.tell(CHANGED)
    heard = []
    while (news := await listener.next(0.01)) is not None:
        heard.append(news.kind)
    assert heard.count("changed") == 1
    assert len(heard) <= 17


def test_previews_are_read_in_both_forms():
    jpeg = b"\xff\xd8\xff\xe0x"
    plain = b"\0\0\0\1\0\0\0\1" + jpeg
    placed = b"\0\0\0\4\0\0\0\2{}" + jpeg
    assert preview_in(plain) == preview_in(placed)
    assert preview_in(plain).startswith("data:image/jpeg;base64,/9j")
    assert preview_in(b"\0") == preview_in(b"\0\0\0\1\0\0\0\2PNG") == ""


def refusal(status: int, kind: str = "", message: str = "no", **headers: str) -> StudioError:
    body = {"error": {"type": kind, "message": message, "details": "", "extra_info": {}}}
    return refusal_of(httpx.Response(status, json=body, headers=headers))


@pytest.mark.parametrize(
    ("status", "kind", "ours"),
    [
        (402, "insufficient_credits", "insufficient_credits"),
        (403, "content_policy", "content_blocked"),
        (403, "tier_limit_exceeded", "tier_limit_exceeded"),
        (429, "daily_limit", "daily_limit_reached"),
        (429, "queue_full", "queue_full"),
        (422, "prompt_id_taken", "prompt_id_taken"),
    ],
)
def test_a_refusal_of_studios_is_passed_on_in_plain_words(status: int, kind: str, ours: str):
    error = refusal(status, kind, **{"Retry-After": "30"})
    assert isinstance(error, Refused)
    assert (error.status, error.kind) == (status, ours)
    assert error.facts["retry_after_seconds"] == 30
    assert error.message[0].isupper()
    assert error.message.endswith(".")


def test_an_outage_of_studios_is_one_of_ours_and_says_when_to_come_back():
    error = refusal(503, **{"Retry-After": "2"})
    assert isinstance(error, Unavailable)
    assert error.facts["retry_after_seconds"] == 2
    assert refusal_of(httpx.Response(502, text="<html>")).http_status == 503
