"""The same gateway on NATS, PostgreSQL and S3."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from libs.chassis.resources import open_resources, provision
from libs.settings import Settings
from tests.integration.gateway.house import GRAPH, House, fresh_id, open_house_on
from tests.integration.gateway.test_gateway_files import picture, upload
from tests.integration.gateway.test_gateway_frames import told


@pytest.fixture
async def real(studio_settings: Settings) -> AsyncIterator[House]:
    """Give a house on real servers."""
    key = SecretStr(base64.b64encode(os.urandom(32)).decode())
    settings = studio_settings.model_copy(update={"master_key": key})
    await provision(settings)
    async with open_resources(settings, "gateway") as resources, open_house_on(resources) as house:
        yield house


@pytest.mark.covers("R182", "R202", "R212", "P09")
async def test_prompts_run_on_real_servers_as_they_do_in_memory(real: House):
    real.accept_all()
    data = picture()
    for _ in range(5):
        async with real.socket("me") as client:
            chosen = fresh_id()
            body = {"prompt": GRAPH, "client_id": "me", "prompt_id": chosen}
            first = await real.http.post("/prompt", json=body)
            again = await real.http.post("/prompt", json=body)
            assert first.status_code == 200, first.text
            assert first.json() == again.json()
            output = await real.run(chosen, data, filename=f"{chosen}.png")
            await client.until("executed")
            view = await real.http.get("/view", params={"filename": output.filename})
            assert view.content == data
            await client.until("executing", node=None)
            assert chosen in (await real.http.get("/history")).json()
            assert told(client.frames)[-4:] == [
                "execution_complete",
                "execution_success",
                "status 0",
                "executing None",
            ]
    await real.http.post("/history", json={"clear": True})
    assert (await real.http.get("/history")).json() == {}


@pytest.mark.covers("R374")
async def test_large_workflows_and_uploads_are_sealed_in_s3(real: House):
    real.accept_all()
    extra = {"extra_pnginfo": {"workflow": {"pad": "unmistakable " * 20_000}}}
    prompt_id = await real.post(extra_data=extra)
    pending = (await real.http.get("/queue")).json()["queue_pending"]
    assert pending[0][1] == prompt_id
    assert pending[0][3]["extra_pnginfo"] == extra["extra_pnginfo"]
    assert (await upload(real, picture())).json()["name"] == "a.png"
    assert (await upload(real, picture())).json()["name"] == "a.png"
    seen = await real.http.get("/view", params={"filename": "a.png", "type": "input"})
    assert seen.content == picture()
    ready = await real.http.get("/readyz")
    assert ready.json() == {"ready": True, "missing": []}
