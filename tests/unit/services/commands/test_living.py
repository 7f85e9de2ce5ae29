"""When `studio up` says that its house is ready."""

from __future__ import annotations

import httpx
import pytest

from services.commands.living import _missing

PAINTER, WORKER = "http://painter", "http://worker"
LISTED = {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["demo"]]}}}}


async def missing(**answers: httpx.Response) -> str:
    """Ask what is missing in a house whose parts answer like this."""

    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.host
        return (
            answers.get(name, httpx.Response(200)) if request.url.path != "/readyz" else ready(name)
        )

    def ready(name: str) -> httpx.Response:
        return answers.get(f"{name}_ready", httpx.Response(200))

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(base_url="http://gateway", transport=transport) as client:
        return await _missing(client, PAINTER, WORKER)


async def test_a_house_that_lists_a_checkpoint_is_ready():
    assert await missing(gateway=httpx.Response(200, json=LISTED)) == ""


@pytest.mark.covers("R183")
async def test_a_house_with_keys_is_ready_when_its_worker_is():
    locked = httpx.Response(401, json={"error": {"type": "unauthorized"}})
    assert await missing(gateway=locked) == ""
    warming = httpx.Response(503, text="the engine is warming up")
    assert "warming up" in await missing(gateway=locked, worker_ready=warming)
