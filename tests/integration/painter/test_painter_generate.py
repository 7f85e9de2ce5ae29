"""A sentence becomes a prompt of 8188, and the prompt becomes pictures."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

import pytest
from PIL import Image

from libs.events.prompt import PromptSubmitted
from services.painter.answers import ErrorBody, Generation, Page
from tests.integration.painter.studio import Studio, picture

ASYNC = {"Prefer": "respond-async"}


async def made(studio: Studio, **body: Any) -> dict[str, Any]:
    """Ask for a picture and get it."""
    answer = await studio.http.post("/api/generate", json={"prompt": "a fox", **body})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    Generation.model_validate(shown)
    return shown


async def refused(studio: Studio, status: int, path: str = "/api/generate", **body: Any) -> Any:
    answer = await studio.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    ErrorBody.model_validate(answer.json())
    return answer.json()["error"]


@pytest.mark.covers(
    "R005", "R032", "R053", "R226", "R241", "R242", "R243", "R244", "R245", "R246", "R247", "R248"
)
async def test_a_sentence_is_answered_with_its_picture(studio: Studio):
    studio.paint_all()
    shown = await made(studio, seed=7)
    assert (shown["status"], shown["kind"]) == ("succeeded", "generate")
    (image,) = shown["images"]
    assert (image["seed"], image["workflow_id"]) == (7, shown["generation_id"])
    assert shown["usage"]["model"] == "demo"
    assert shown["usage"]["compute_ms"] == 12
    answer = await studio.http.get(image["url"])
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)
    handed_in = await studio.workflow_of(shown["generation_id"])
    assert handed_in["prompt"]["positive"]["inputs"]["text"] == "a fox"
    small = await studio.http.get(f"{image['url']}?preview=webp;50")
    assert small.headers["content-type"] == "image/webp"
    again = await studio.http.get(image["url"], headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.covers("R006", "R052")
async def test_what_painter_hands_in_is_in_studios_history(studio: Studio):
    studio.paint_all()
    shown = await made(studio)
    history = (await studio.house.http.get("/api/history")).json()
    assert shown["generation_id"] in history
    workflow = await studio.http.get(f"/api/generations/{shown['generation_id']}/workflow")
    job = (await studio.house.http.get(f"/api/jobs/{shown['generation_id']}")).json()
    assert workflow.json()["prompt"] == job["workflow"]["prompt"]


@pytest.mark.covers("R235", "R237")
async def test_four_images_have_four_seeds_that_are_told(studio: Studio):
    studio.paint_all()
    shown = await made(studio, num_images=4, seed=-1)
    seeds = [image["seed"] for image in shown["images"]]
    assert len(set(seeds)) == 4
    assert seeds[0] == shown["settings"]["seed"] >= 0
    handed_in = (await studio.workflow_of(shown["generation_id"]))["prompt"]
    samplers = [n["inputs"]["seed"] for n in handed_in.values() if n["class_type"] == "KSampler"]
    assert samplers == seeds


@pytest.mark.covers("P07")
async def test_whoever_does_not_wait_is_told_where_to_look(studio: Studio):
    studio.house.accept_all()
    answer = await studio.http.post("/api/generate", json={"prompt": "a fox"}, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    waiting = answer.json()
    assert (waiting["status"], waiting["place"]) == ("queued", 0)
    found = await studio.http.get(answer.headers["location"])
    assert found.json()["generation_id"] == waiting["generation_id"]
    stopped = await studio.http.post(f"/api/generations/{waiting['generation_id']}/cancel")
    assert stopped.status_code == 200


@pytest.mark.covers("P07", "R047")
async def test_a_stream_tells_the_state_the_steps_and_the_end(studio: Studio):
    studio.house.accept_all()
    answer = await studio.http.post("/api/generate", json={"prompt": "a fox"}, headers=ASYNC)
    prompt_id = answer.json()["generation_id"]
    following = asyncio.create_task(studio.events(prompt_id))
    await asyncio.sleep(0.3)
    house = studio.house
    await house.lease(prompt_id)
    await house.start(prompt_id)
    await house.step(prompt_id, "sampler", value=12, total=24)
    output = await house.output(prompt_id, "save", data=picture())
    await house.node_done(prompt_id, output, node_id="save")
    await house.release(prompt_id, output, "save")
    await house.finished(prompt_id)
    await house.end(prompt_id, "succeeded")
    told = await asyncio.wait_for(following, 20)
    kinds = [kind for kind, _ in told]
    assert (kinds[0], kinds[-1]) == ("generation", "end")
    steps = [data for kind, data in told if kind == "progress"]
    assert {"step": 12, "steps": 24, "fraction": 0.5} in steps
    states = [data["status"] for kind, data in told if kind == "generation"]
    assert (states[0], states[-1]) == ("queued", "succeeded")
    late = await studio.events(prompt_id)
    assert [kind for kind, _ in late] == ["generation", "end"]
    assert late[0][1]["images"]


@pytest.mark.covers("P09")
async def test_a_retry_under_a_key_meets_the_same_generation(studio: Studio):
    studio.paint_all()
    key = {"Idempotency-Key": "once"}
    answers = [
        await studio.http.post("/api/generate", json={"prompt": "a fox"}, headers=key)
        for _ in range(2)
    ]
    first, second = (answer.json() for answer in answers)
    assert first["generation_id"] == second["generation_id"]
    assert first["settings"]["seed"] == second["settings"]["seed"]
    other = await studio.http.post("/api/generate", json={"prompt": "an owl"}, headers=key)
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["error"]["message"]


@pytest.mark.covers("R238")
async def test_a_reference_picture_by_upload_or_base64_is_what_the_workflow_begins_from(
    studio: Studio,
):
    studio.paint_all()
    data = picture(colour="blue")
    kept = await studio.http.post("/api/uploads", files={"image": ("x.png", data)})
    by_upload = await made(studio, reference_image=kept.json()["image"])
    by_base64 = await made(studio, reference_image=base64.b64encode(data).decode())
    names = []
    for shown in (by_upload, by_base64):
        assert shown["settings"]["reference"] == "start"
        nodes = (await studio.workflow_of(shown["generation_id"]))["prompt"]
        names.append(nodes["source"]["inputs"]["image"])
    assert names[0] == names[1] == kept.json()["image"].removeprefix("upload:")


@pytest.mark.covers("R239", "R240")
async def test_a_control_picture_leads_where_the_fleet_has_a_controlnet(studio: Studio):
    await studio.fleet(
        checkpoints=("sd15.safetensors",), controlnet=("control_v11p_sd15_canny.safetensors",)
    )
    studio.paint_all()
    body = {"control_image": base64.b64encode(picture()).decode(), "control_type": "canny"}
    shown = await made(studio, model="sd1.5", **body)
    nodes = (await studio.workflow_of(shown["generation_id"]))["prompt"]
    assert nodes["control_map"]["class_type"] == "CannyEdgePreprocessor"
    assert shown["settings"]["control_type"] == "canny"


async def test_going_on_from_a_picture_keeps_its_settings(studio: Studio):
    studio.paint_all()
    first = await made(studio, seed=7, prompt="a red heart")
    one = f"/api/generations/{first['generation_id']}"
    source = {"generation_id": first["generation_id"], "index": 0}
    mask = base64.b64encode(picture(colour="white")).decode()
    for path, body, kind in (
        ("vary", {"strength": "strong", "num_images": 2}, "vary"),
        ("upscale", {}, "upscale"),
        ("inpaint", {"mask": mask, "prompt": "a red star"}, "inpaint"),
    ):
        answer = await studio.http.post(f"{one}/{path}", json=body)
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        Generation.model_validate(shown)
        assert (shown["kind"], shown["source"]) == (kind, source)
        nodes = (await studio.workflow_of(shown["generation_id"]))["prompt"]
        assert nodes["source"]["inputs"]["image"].endswith(" [output]")
    assert shown["settings"]["prompt"] == "a red star"
    enlarged = next(g for g in await listed(studio) if g["kind"] == "upscale")
    assert enlarged["images"][0]["width"] == 512
    again = await refused(studio, 400, f"/api/generations/{enlarged['generation_id']}/vary")
    assert again["type"] == "not_possible"
    await refused(studio, 404, f"{one}/vary", image=3)


async def listed(studio: Studio, **query: str) -> list[dict[str, Any]]:
    answer = await studio.http.get("/api/generations", params=query)
    assert answer.status_code == 200, answer.text
    Page.model_validate(answer.json())
    found: list[dict[str, Any]] = answer.json()["generations"]
    return found


async def test_generations_are_listed_searched_kept_and_taken_away(studio: Studio):
    studio.paint_all()
    texts = ["a red fox", "an owl", "a blue fox"]
    ids = [(await made(studio, prompt=text))["generation_id"] for text in texts]
    await studio.house.post()  # A prompt of somebody who sees nodes is none of these.
    assert [one["settings"]["prompt"] for one in await listed(studio)] == texts[::-1]
    assert [one["generation_id"] for one in await listed(studio, search="FOX a")] == [
        ids[2],
        ids[0],
    ]
    page = (await studio.http.get("/api/generations", params={"limit": 2})).json()
    assert [one["generation_id"] for one in page["generations"]] == [ids[2], ids[1]]
    rest = await listed(studio, before=page["next"])
    assert [one["generation_id"] for one in rest] == [ids[0]]
    assert (await studio.http.put(f"/api/generations/{ids[1]}/favourite")).status_code == 204
    (liked,) = await listed(studio, favourites="true")
    assert (liked["generation_id"], liked["favourite"]) == (ids[1], True)
    assert (await studio.http.delete(f"/api/generations/{ids[1]}/favourite")).status_code == 204
    assert await listed(studio, favourites="true") == []
    assert (await studio.http.delete(f"/api/generations/{ids[0]}")).status_code == 204
    assert (await studio.http.get(f"/api/generations/{ids[0]}")).status_code == 404
    assert [one["generation_id"] for one in await listed(studio)] == [ids[2], ids[1]]


async def test_texts_are_remembered_sealed_and_forgotten(studio: Studio):
    studio.paint_all()
    for text in ("a fox", "an owl", "a fox"):
        await made(studio, prompt=text)
    texts = (await studio.http.get("/api/prompts")).json()["prompts"]
    assert [(text["prompt"], text["times"]) for text in texts] == [("a fox", 2), ("an owl", 1)]
    found = (await studio.http.get("/api/prompts", params={"search": "OWL"})).json()["prompts"]
    assert [text["prompt"] for text in found] == ["an owl"]
    assert (await studio.http.delete(f"/api/prompts/{found[0]['id']}")).status_code == 204
    assert (await studio.http.delete(f"/api/prompts/{found[0]['id']}")).status_code == 404
    assert (await studio.http.delete("/api/prompts")).status_code == 204
    assert (await studio.http.get("/api/prompts")).json() == {"prompts": []}


async def test_a_withheld_picture_is_told_in_plain_words(studio: Studio):
    studio.house.accept_all()
    asking = asyncio.create_task(studio.http.post("/api/generate", json={"prompt": "a fox"}))
    recorded = await studio.house.submitted()
    prompt_id = recorded.event.prompt_id
    await asyncio.sleep(0.2)
    house = studio.house
    await house.lease(prompt_id)
    await house.start(prompt_id)
    output = await house.output(prompt_id, "save", data=picture())
    await house.node_done(prompt_id, output, node_id="save")
    await house.block(prompt_id, output, "save")
    await house.finished(prompt_id)
    await house.end(prompt_id, "blocked")
    answer = await asking
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert error["type"] == "content_blocked"
    found = await studio.http.get(f"/api/generations/{error['extra_info']['generation_id']}")
    assert (found.json()["status"], found.json()["images"]) == ("blocked", [])


REFUSALS = [
    (402, "insufficient_credits", "insufficient_credits", "credits"),
    (429, "daily_limit", "daily_limit_reached", "today"),
    (403, "content_policy", "content_blocked", "policy"),
]


async def test_a_refusal_of_studios_is_passed_on(studio: Studio):
    refusals = iter(REFUSALS)

    async def refuse(recorded: Any) -> None:
        status, code, *_ = next(refusals)
        await studio.house.refuse(recorded.event.prompt_id, status, code, retry_after_seconds=60)

    studio.house.react(PromptSubmitted, refuse)
    for status, _, ours, words in REFUSALS:
        error = await refused(studio, status, prompt="a fox")
        assert error["type"] == ours
        assert words in error["message"]
        assert error["extra_info"]["retry_after_seconds"] == 60
