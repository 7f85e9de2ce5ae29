"""How the runner serves WebSockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from websockets.asyncio.client import ClientConnection, connect

from libs.chassis import runner
from libs.chassis.runner import _serve
from services.commands.living import free_port


async def greet(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hello"})
    await receive()


@retry(retry=retry_if_exception_type(OSError), stop=stop_after_delay(20), wait=wait_fixed(0.05))
async def open_socket(port: int) -> ClientConnection:
    return await connect(f"ws://127.0.0.1:{port}/", compression="deflate")


async def test_no_client_has_a_compressor_of_its_own_however_much_it_offers():
    port = free_port(0)
    serving = asyncio.create_task(_serve(greet, "127.0.0.1", port))
    async with await open_socket(port) as socket:
        assert await socket.recv() == "hello"
        assert socket.protocol.extensions == []
    serving.cancel()
    await asyncio.wait({serving})


async def test_no_client_is_asked_whether_it_lives(monkeypatch: pytest.MonkeyPatch):
    """One that is busy in code of its own answers no ping, and would be cut off for it."""
    served: list[uvicorn.Config] = []

    class Server:
        def __init__(self, config: uvicorn.Config) -> None:
            served.append(config)

        async def serve(self) -> None:
            return None

    monkeypatch.setattr(runner, "_QuietServer", Server)
    await _serve(greet, "127.0.0.1", 0)
    assert [(one.ws_ping_interval, one.ws_ping_timeout) for one in served] == [(None, None)]
