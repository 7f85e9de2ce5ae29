"""Glances at unfinished pictures reach the client that asked for them, in the form that it knows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator

import pytest

from libs.events.signals import Preview, preview_subject
from libs.settings import Settings
from services.gateway.previewing import Previewing
from tests.integration.gateway.client import Client
from tests.integration.gateway.house import House

JPEG = b"\xff\xd8 a picture \xff\xd9"


@contextlib.asynccontextmanager
async def previewing(house: House, tenants: str = "*") -> AsyncIterator[None]:
    settings = Settings(preview_tenants=tenants)
    part = Previewing(
        house.bus, house.gateway.hub, house.gateway.live.queue.get, settings.shows_previews
    )
    task = asyncio.create_task(part.hear())
    await asyncio.sleep(0.05)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def running(house: House, client_id: str, method: str | None = "auto") -> str:
    extra = {"preview_method": method} if method else {}
    prompt_id = await house.post(client_id, extra_data=extra)
    await house.lease(prompt_id)
    await house.start(prompt_id)
    return prompt_id


async def show(house: House, prompt_id: str, attempt: int = 1) -> None:
    story = next(
        story
        for owner in house.gateway.hub._sockets
        for story in house.gateway.live.queue.running(owner)
        if story.prompt_id == prompt_id
    )
    preview = Preview(prompt_id=prompt_id, attempt=attempt, node_id="2", image=JPEG)
    await house.bus.signal(preview_subject(story.tenant, prompt_id), preview.encode())


async def binary(client: Client) -> bytes:
    async with asyncio.timeout(30):
        while True:
            message = await client.socket.recv()
            if isinstance(message, bytes):
                return message


async def none_comes(client: Client) -> bool:
    try:
        async with asyncio.timeout(0.5):
            await binary(client)
    except TimeoutError:
        return True
    return False


async def test_a_client_that_asked_is_shown_a_jpeg(house: House):
    house.accept_all()
    async with previewing(house), house.socket("me") as client:
        prompt_id = await running(house, "me")
        await client.until("execution_start")
        await show(house, prompt_id)
        assert await binary(client) == struct.pack(">II", 1, 1) + JPEG


async def test_a_client_that_knows_of_places_is_told_the_node(house: House):
    house.accept_all()
    async with previewing(house), house.socket("me") as client:
        flags = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        await client.socket.send(json.dumps(flags))
        prompt_id = await running(house, "me")
        await client.until("execution_start")
        await show(house, prompt_id)
        message = await binary(client)
    kind, length = struct.unpack(">II", message[:8])
    place = json.loads(message[8 : 8 + length])
    assert kind == 4
    assert place == {
        "node_id": "2",
        "prompt_id": prompt_id,
        "display_node_id": "2",
        "parent_node_id": None,
        "real_node_id": "2",
        "image_type": "image/jpeg",
    }
    assert message[8 + length :] == JPEG


@pytest.mark.parametrize("method", [None, "none", "default"])
async def test_who_did_not_ask_is_shown_nothing(house: House, method: str | None):
    house.accept_all()
    async with previewing(house), house.socket("me") as client:
        prompt_id = await running(house, "me", method)
        await client.until("execution_start")
        await show(house, prompt_id)
        assert await none_comes(client)


async def test_no_tenant_sees_previews_unless_a_setting_says_so_and_nobody_sees_anothers(
    house: House,
):
    house.accept_all()
    async with house.socket("me") as client, house.socket("other") as other:
        async with previewing(house, tenants="somebody"):
            prompt_id = await running(house, "me")
            await client.until("execution_start")
            await show(house, prompt_id)
            assert await none_comes(client)
        async with previewing(house):
            await show(house, prompt_id, attempt=7)
            assert await none_comes(client)
            await show(house, prompt_id)
            assert await binary(client)
            assert await none_comes(other)


def test_garbage_is_no_preview():
    for data in (b"", b"\n", b"[]\nx", b"{}\nx", b"\xff\xfe"):
        with pytest.raises((ValueError, TypeError)):
            Preview.decode(data)


def test_tenants_are_named_or_all():
    assert not Settings(preview_tenants="").shows_previews("acme")
    assert not Settings(preview_tenants="").shows_previews("")
    assert Settings(preview_tenants="one, acme").shows_previews("acme")
    assert Settings(preview_tenants="*").shows_previews("acme")
