"""Pictures that are sent and not saved: binary messages, when moderation has released them."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import pytest

from tests.integration.gateway.house import House

HEAD = struct.pack(">II", 1, 2)


async def heard(client: Any) -> list[Any]:
    """Return all messages up to the end: the node at work, and bytes."""
    messages: list[Any] = []
    async with asyncio.timeout(60):
        while True:
            message = await client.socket.recv()
            if isinstance(message, bytes):
                messages.append(message)
                continue
            frame = json.loads(message)
            if frame["type"] == "executing":
                messages.append(frame["data"]["node"])
                if frame["data"]["node"] is None:
                    return messages


async def a_run(house: House, client: Any, node_type: str) -> str:
    await client.until("status")
    prompt_id = await house.post("me")
    await house.lease(prompt_id)
    await house.start(prompt_id)
    await house.step(prompt_id, "3", announces=True)
    outputs = [
        await house.output(prompt_id, index=index, data=b"picture %d" % index, folder="temp")
        for index in range(3)
    ]
    await house.node_done(prompt_id, *outputs, node_type=node_type)
    await house.step(prompt_id, "3", "finished", value=1)
    await house.step(prompt_id, "4", announces=True)
    await house.release(prompt_id, outputs[0])
    await house.block(prompt_id, outputs[1])
    await house.release(prompt_id, outputs[2])
    await house.finished(prompt_id)
    await house.end(prompt_id)
    return prompt_id


@pytest.mark.covers("R339")
async def test_released_pictures_are_sent_as_bytes_of_their_node_and_blocked_ones_are_not(
    house: House,
):
    house.accept_all()
    async with house.socket("me") as client:
        await a_run(house, client, "SaveImageWebsocket")
        messages = await heard(client)
    sent = [(place, one) for place, one in enumerate(messages) if isinstance(one, bytes)]
    assert [one for _, one in sent] == [HEAD + b"picture 0", HEAD + b"picture 2"]
    assert all(messages[place - 1] == "3" for place, _ in sent)
    assert messages[-1] is None


async def test_other_nodes_send_no_bytes(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        await a_run(house, client, "PreviewImage")
        assert not [one for one in await heard(client) if isinstance(one, bytes)]
