"""Handing prompts in, and stopping them, over HTTP."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.bus.memory import MemoryBus
from libs.core.errors import Unavailable
from libs.core.jsonvalue import Json
from libs.events.prompt import CancelRequested, PromptSubmitted, PromptWithdrawn
from tests.integration.gateway.house import (
    GRAPH,
    HIP_GRAPH,
    House,
    eventually,
    fresh_id,
    open_house,
)

BOTH = pytest.mark.parametrize("path", ["/prompt", "/api/prompt"])


def events(bus: MemoryBus, kind: type) -> list[Any]:
    """Return the events of one class."""
    return [event for event in bus.journal_events() if isinstance(event, kind)]


@BOTH
@pytest.mark.covers("R182", "R186", "R188", "R189", "R190")
@pytest.mark.parametrize("graph", [GRAPH, HIP_GRAPH])
async def test_a_prompt_is_accepted_in_either_dialect(house: House, path: str, graph: Any):
    house.accept_all()
    answer = await house.http.post(path, json={"prompt": graph, "client_id": "me"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert str(uuid.UUID(body["prompt_id"])) == body["prompt_id"]
    assert body["number"] == 0
    assert isinstance(body["number"], int)
    assert body["node_errors"] == {}
    # Whoever got the 200 must find the prompt counted at once.
    assert (await house.http.get("/prompt")).json() == {"exec_info": {"queue_remaining": 1}}


@pytest.mark.covers("R189")
async def test_the_number_is_the_place_in_the_line(house: House):
    house.accept_all()
    answers = [(await house.http.post("/prompt", json={"prompt": GRAPH})).json() for _ in range(3)]
    assert [answer["number"] for answer in answers] == [0, 1, 2]
    pending = (await house.http.get("/api/queue")).json()["queue_pending"]
    assert [item["prompt_id"] for item in pending] == [answer["prompt_id"] for answer in answers]
    assert [item["number"] for item in pending] == [0, 1, 2]


@pytest.mark.covers("R187")
async def test_what_is_sealed_is_what_was_sent_and_nobody_elses_secrets(house: House):
    house.accept_all()
    extra = {
        "extra_pnginfo": {"workflow": {"nodes": []}},
        "auth_token_comfy_org": "secret",
        "api_key_comfy_org": "secret",
        "preview_method": "auto",
    }
    await house.post(
        "me",
        extra_data=extra,
        partial_execution_targets=["3"],
        front=True,
        number=-2.5,
    )
    submitted = (await house.submitted()).event
    workflow = await house.vault.open("local", submitted.workflow)
    assert isinstance(workflow, dict)
    assert workflow["prompt"] == GRAPH
    assert workflow["targets"] == ["3"]
    sealed_extra: Any = workflow["extra_data"]
    assert sealed_extra.pop("create_time") > 1_700_000_000_000
    assert sealed_extra == {
        "extra_pnginfo": {"workflow": {"nodes": []}},
        "preview_method": "auto",
    }
    assert (submitted.front, submitted.priority) == (True, -2.5)
    assert submitted.preview_method == "auto"
    assert (submitted.user_id, submitted.tier, submitted.keyed) == ("local", "owner", False)
    assert "demo.safetensors" not in submitted.model_dump_json()


async def test_any_label_will_do_on_the_bare_path(house: House):
    house.accept_all()
    body = json.dumps({"prompt": GRAPH}).encode()
    for label in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": label} if label else {}
        answer = await house.http.post("/prompt", content=body, headers=headers)
        assert answer.status_code == 200, label


@pytest.mark.covers("R184")
async def test_hip35_insists_on_json_unless_the_editor_calls(house: House):
    house.accept_all()
    body = json.dumps({"prompt": GRAPH}).encode()
    plain = {"Content-Type": "text/plain"}
    refused = await house.http.post("/api/prompt", content=body, headers=plain)
    assert refused.status_code == 415
    assert refused.json()["error"]["type"] == "unsupported_media_type"
    editor = await house.http.post("/api/prompt", content=body, headers={**plain, "Comfy-User": ""})
    asked = await house.http.post("/api/prompt?format=comfyui", content=body, headers=plain)
    charset = {"Content-Type": "application/json; charset=utf-8"}
    labelled = await house.http.post("/api/prompt", content=body, headers=charset)
    assert [editor.status_code, asked.status_code, labelled.status_code] == [200, 200, 200]


@pytest.mark.covers("P10", "R190")
async def test_a_rejected_graph_answers_with_comfyuis_body(house: House):
    detail: Json = {
        "error": {
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": "Required input is missing: images",
            "extra_info": {},
        },
        "node_errors": {"3": {"errors": [], "dependent_outputs": ["3"], "class_type": "SaveImage"}},
    }
    house.react(PromptSubmitted, lambda r: house.reject(r.event.prompt_id, detail))
    answer = await house.http.post("/prompt", json={"prompt": GRAPH})
    assert answer.status_code == 400
    assert answer.json() == detail
    assert (await house.http.get("/prompt")).json()["exec_info"]["queue_remaining"] == 0
    assert (await house.http.get("/history")).json() == {}


async def test_errors_of_skipped_outputs_ride_on_the_200(house: House):
    errors: Json = {"4": {"errors": [], "dependent_outputs": ["4"], "class_type": "SaveImage"}}
    house.react(PromptSubmitted, lambda r: house.accept(r.event.prompt_id, node_errors=errors))
    answer = await house.http.post("/prompt", json={"prompt": GRAPH})
    assert answer.status_code == 200
    assert answer.json()["node_errors"] == errors


@pytest.mark.parametrize(
    ("status", "code", "retry"),
    [(402, "balance", None), (429, "daily_limit", 3600), (403, "blocked", None)],
)
async def test_a_refused_run_answers_with_its_own_status(
    house: House, status: int, code: str, retry: int | None
):
    house.react(PromptSubmitted, lambda r: house.refuse(r.event.prompt_id, status, code, retry))
    answer = await house.http.post("/prompt", json={"prompt": GRAPH})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["type"], error["message"]) == (code, f"refused: {code}")
    assert answer.headers.get("retry-after") == (str(retry) if retry else None)


async def test_an_unanswered_prompt_is_withdrawn_and_answers_503(engine: AsyncEngine):
    async with open_house(engine, admission_wait_seconds=0.5) as house:
        answer = await house.http.post("/prompt", json={"prompt": GRAPH})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        submitted, withdrawn = house.bus.recorded()
        assert isinstance(submitted.event, PromptSubmitted)
        assert isinstance(withdrawn.event, PromptWithdrawn)
        assert submitted.event.answer_by is not None
        # Whoever executes prompts knows by itself when it may not do so any more.
        assert submitted.event.answer_by < withdrawn.time


async def test_a_prompt_of_unknown_fate_is_withdrawn_when_the_bus_is_back(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    journal = type(house.bus.journal)
    append = journal.append
    failures = iter([True, False, False])

    async def cut_off(*arguments: Any) -> Any:
        """Write at first, but never say so; then fail twice; then work again."""
        match next(failures, None):
            case True:
                await append(*arguments)
                raise Unavailable("the line was cut")
            case False:
                raise Unavailable("the line was cut")
        return await append(*arguments)

    monkeypatch.setattr(journal, "append", cut_off)
    answer = await house.http.post("/prompt", json={"prompt": GRAPH})
    assert answer.status_code == 503
    assert answer.json()["error"]["extra_info"] == {}

    async def withdrawn() -> bool:
        return len(events(house.bus, PromptWithdrawn)) == 1

    await eventually(withdrawn)


async def test_an_unanswered_prompt_with_a_key_is_kept_and_met_again(engine: AsyncEngine):
    async with open_house(engine, admission_wait_seconds=0.5) as house:
        headers = {"Idempotency-Key": "order-7"}
        first = await house.http.post("/prompt", json={"prompt": GRAPH}, headers=headers)
        assert first.status_code == 503
        submitted = (await house.submitted()).event
        assert submitted.keyed
        assert submitted.answer_by is None
        await house.accept(submitted.prompt_id)
        again = await house.http.post("/prompt", json={"prompt": GRAPH}, headers=headers)
        assert again.status_code == 200
        assert again.json()["prompt_id"] == submitted.prompt_id
        assert len(events(house.bus, PromptSubmitted)) == 1
        assert not events(house.bus, PromptWithdrawn)


@pytest.mark.covers("P09")
async def test_the_same_key_answers_the_same_and_another_body_is_refused(house: House):
    house.accept_all()
    headers = {"Idempotency-Key": "order-7"}
    first = await house.http.post("/prompt", json={"prompt": GRAPH}, headers=headers)
    again = await house.http.post("/api/prompt", json={"prompt": GRAPH}, headers=headers)
    other = await house.http.post("/prompt", json={"prompt": HIP_GRAPH}, headers=headers)
    assert first.json() == again.json()
    assert other.status_code == 422
    assert other.json()["error"]["type"] == "prompt_id_reused"
    assert len(events(house.bus, PromptSubmitted)) == 1


@pytest.mark.covers("P09")
async def test_a_prompt_id_of_the_client_is_used_and_met_again_after_a_restart(
    engine: AsyncEngine,
):
    chosen = fresh_id()
    async with open_house(engine) as house:
        house.accept_all()
        assert await house.post(prompt_id=chosen) == chosen
        await house.run(chosen)

        async def ended() -> bool:
            return bool((await house.http.get(f"/history/{chosen}")).json())

        await eventually(ended)
        # The answer is not remembered any more, only the events and the archive are.
        house.gateway.live.answers._given.clear()
        again = await house.http.post("/prompt", json={"prompt": GRAPH, "prompt_id": chosen})
        assert again.status_code == 200
        assert again.json()["prompt_id"] == chosen
        other = await house.http.post("/prompt", json={"prompt": HIP_GRAPH, "prompt_id": chosen})
        assert other.status_code == 422
        assert len(events(house.bus, PromptSubmitted)) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'{"prompt": NaN}', "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"x": 1}', "no_prompt"),
        (b'{"prompt": null}', "no_prompt"),
        (b'{"prompt": []}', "invalid_prompt"),
        (b'{"prompt": {"version": 1, "nodes": []}}', "invalid_prompt"),
        (b'{"prompt": {"1": {"inputs": {}}}}', "missing_node_type"),
        (b'{"prompt": {}, "prompt_id": "NO"}', "invalid_prompt_id"),
        (b'{"prompt": {}, "prompt_id": 7}', "invalid_prompt_id"),
        (b'{"prompt": {}, "client_id": 7}', "invalid_client_id"),
        (b'{"prompt": {}, "client_id": "\\u0000"}', "invalid_client_id"),
        (b'{"prompt": {}, "client_id": "\\ud800"}', "invalid_client_id"),
        (b'{"prompt": {}, "extra_data": 7}', "invalid_extra_data"),
        (b'{"prompt": {}, "extra_data": {"a": "\\ud800"}}', "invalid_extra_data"),
        (b'{"prompt": {}, "number": "x"}', "invalid_number"),
        (b'{"prompt": {}, "number": 1e999}', "invalid_number"),
        (b'{"prompt": {}, "partial_execution_targets": "3"}', "invalid_targets"),
        (b'{"prompt": {}, "partial_execution_targets": [3]}', "invalid_targets"),
    ],
)
@pytest.mark.covers("P10")
async def test_bad_bodies_are_refused_in_comfyuis_words(house: House, body: bytes, kind: str):
    answer = await house.http.post("/prompt", content=body)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error", "node_errors"}
    error = answer.json()["error"]
    assert error["type"] == kind
    assert set(error) == {"type", "message", "details", "extra_info"}
    assert not house.bus.journal_events()


async def test_golden_bodies_of_the_first_two_refusals(house: House):
    no_prompt = await house.http.post("/prompt", json={})
    assert no_prompt.json() == {
        "error": {
            "type": "no_prompt",
            "message": "No prompt provided",
            "details": "No prompt provided",
            "extra_info": {"field": "prompt"},
        },
        "node_errors": {},
    }
    bad_id = await house.http.post("/prompt", json={"prompt": GRAPH, "prompt_id": "A"})
    assert bad_id.json()["error"] == {
        "type": "invalid_prompt_id",
        "message": "prompt_id must be a valid UUID",
        "details": "prompt_id",
        "extra_info": {"field": "prompt_id", "received_value": "A"},
    }


@pytest.mark.covers("R374")
async def test_one_mebibyte_is_taken_and_one_byte_more_is_not(house: House):
    house.accept_all()
    body = json.dumps({"prompt": GRAPH, "extra_data": {"pad": ""}}).encode()
    pad = b"x" * (1_048_576 - len(body))
    full = body.replace(b'"pad": ""', b'"pad": "' + pad + b'"')
    assert len(full) == 1_048_576
    taken = await house.http.post("/prompt", content=full)
    assert taken.status_code == 200
    beyond = await house.http.post("/prompt", content=full + b" ")
    assert beyond.status_code == 413
    assert beyond.json()["error"]["extra_info"]["limit"] == 1_048_576

    async def unannounced() -> AsyncIterator[bytes]:
        yield full
        yield b" "

    chunked = await house.http.post("/prompt", content=unannounced())
    assert chunked.status_code == 413


async def test_a_full_queue_answers_429(engine: AsyncEngine):
    async with open_house(engine, queue_depth_max=2) as house:
        house.accept_all()
        await house.post()
        await house.post()
        answer = await house.http.post("/prompt", json={"prompt": GRAPH})
        assert answer.status_code == 429
        assert answer.json()["error"]["type"] == "queue_full"
        assert "retry-after" in answer.headers


@pytest.mark.covers("P02")
async def test_interrupt_stops_the_one_that_is_named_or_all_that_run(house: House):
    house.accept_all()
    one, two, waiting = [await house.post() for _ in range(3)]
    await house.lease(one)
    await house.lease(two)
    await asyncio.sleep(0.05)
    named = await house.http.post("/interrupt", json={"prompt_id": one})
    assert named.status_code == 200
    assert named.content == b""
    assert [event.prompt_id for event in events(house.bus, CancelRequested)] == [one]
    assert (await house.http.post("/interrupt", json={"prompt_id": waiting})).status_code == 200
    assert (await house.http.post("/api/interrupt")).status_code == 200
    cancelled = [event.prompt_id for event in events(house.bus, CancelRequested)]
    assert cancelled == [one, two]


@pytest.mark.covers("P02")
async def test_pending_prompts_are_deleted_or_cleared(house: House):
    house.accept_all()
    house.react(CancelRequested, lambda r: house.end(r.event.prompt_id, "cancelled", attempt=0))
    one, two, three = [await house.post() for _ in range(3)]
    await house.lease(three)
    await asyncio.sleep(0.05)
    answer = await house.http.post("/queue", json={"delete": [one, fresh_id(), three]})
    assert (answer.status_code, answer.content) == (200, b"")
    queue = (await house.http.get("/queue")).json()
    assert [item[1] for item in queue["queue_pending"]] == [two]
    assert [item[1] for item in queue["queue_running"]] == [three]
    await house.http.post("/api/queue", json={"clear": True})
    queue = (await house.http.get("/queue")).json()
    assert queue["queue_pending"] == []
    assert [item[1] for item in queue["queue_running"]] == [three]


@pytest.mark.parametrize("path", ["/queue", "/history", "/interrupt"])
async def test_bad_commands_are_refused(house: House, path: str):
    assert (await house.http.post(path, content=b"{")).status_code == 400
    assert (await house.http.post(path, content=b"[1]")).status_code == 400
    body = {"prompt_id": 7} if path == "/interrupt" else {"delete": "all"}
    assert (await house.http.post(path, json=body)).status_code == 400


async def test_a_job_is_cancelled_wherever_it_is(house: House):
    house.accept_all()
    prompt_id = await house.post()
    assert (await house.http.post(f"/api/jobs/{prompt_id}/cancel")).json() == {"cancelled": True}
    assert (await house.http.post(f"/api/jobs/{fresh_id()}/cancel")).json() == {"cancelled": False}
    bad = await house.http.post("/api/jobs/cancel", json={"job_ids": ["x"]})
    assert (bad.status_code, bad.json()["invalid_ids"]) == (400, ["x"])
    assert [event.prompt_id for event in events(house.bus, CancelRequested)] == [prompt_id]
