"""A plain WebSocket client, as anybody would write one."""

from __future__ import annotations

import json
import uuid
from typing import Any, Self

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.e2e.houses import House

END_SECONDS_MAX = 120


class Watcher:
    """One socket; remembers all frames, binary ones as their length."""

    def __init__(self, house: House, client_id: str = "", since: int | None = None) -> None:
        self.client_id = client_id or uuid.uuid4().hex
        address = house.url.replace("http", "ws", 1) + f"/ws?clientId={self.client_id}"
        if since is not None:
            address += f"&since={since}"
        self._opening = connect(address, max_size=None)
        self.socket: ClientConnection
        self.frames: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.socket = self._opening.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def until_end(self, prompt_id: str) -> list[dict[str, Any]]:
        """Read until the terminal frame of `prompt_id` was read; return the frames about it."""
        while not any(_is_terminal(frame) for frame in self.about(prompt_id)):
            self.read()
        return self.about(prompt_id)

    def read(self) -> dict[str, Any]:
        """Read one frame."""
        message = self.socket.recv(timeout=END_SECONDS_MAX)
        frame: dict[str, Any] = (
            {"type": "binary", "data": {"length": len(message)}}
            if isinstance(message, bytes)
            else json.loads(message)
        )
        self.frames.append(frame)
        return frame

    def about(self, prompt_id: str) -> list[dict[str, Any]]:
        """Return the frames that speak of `prompt_id`."""
        return [f for f in self.frames if f.get("data", {}).get("prompt_id") == prompt_id]


def _is_terminal(frame: dict[str, Any]) -> bool:
    return frame["type"] == "executing" and frame["data"].get("node") is None


def submit(client: httpx.Client, graph: Any, client_id: str = "", **extra: Any) -> str:
    """POST a graph on the bare route and return its prompt id."""
    answer = client.post("/prompt", json={"prompt": graph, "client_id": client_id, **extra})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prompt_id"])


def tiny_graph(color: int = 0, prefix: str = "tiny", *, preview: bool = True) -> dict[str, Any]:
    """Return a graph without a model: one colour, shown or saved."""
    end: dict[str, Any] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    if not preview:
        end = {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": prefix},
        }
    empty = {"width": 64, "height": 64, "batch_size": 1, "color": color}
    return {"1": {"class_type": "EmptyImage", "inputs": empty}, "2": end}
