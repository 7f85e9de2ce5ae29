"""A thin client of the public API, as any program outside would write it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from libs.core.errors import Refused, Unavailable
from libs.core.jsonvalue import JsonObject

DEMO_FOLDER = Path(__file__).parents[2] / "libs" / "weights" / "demo"
ANSWER_SECONDS_MAX = 60.0
SILENCE_SECONDS_MAX = 600.0


@dataclass(frozen=True)
class Frame:
    """One message of the WebSocket about our prompt."""

    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A finished output file."""

    filename: str
    data: bytes
    url: str


def demo_graph(text: str, *, negative: str, seed: int, checkpoint: str | None) -> JsonObject:
    """Return the graph that makes a picture of `text` with the demo model."""
    graph: Any = json.loads((DEMO_FOLDER / "graph.json").read_text(encoding="utf-8"))
    graph["positive"]["inputs"]["text"] = text
    graph["negative"]["inputs"]["text"] = negative
    graph["sampler"]["inputs"]["seed"] = seed
    if checkpoint:
        graph["checkpoint"]["inputs"]["ckpt_name"] = checkpoint
    filled: JsonObject = graph
    return filled


class StudioClient:
    """Posts a graph, follows it, and fetches what it made."""

    def __init__(self, url: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url
        self._token = token
        self._client_id = uuid.uuid4().hex
        self._http = httpx.Client(base_url=url, headers=headers, timeout=ANSWER_SECONDS_MAX)

    def get(self, path: str) -> Any:
        """Return the JSON that a route answers; errors of the API become ours."""
        return self._json(self._ask("GET", path))

    def follow(self, graph: JsonObject) -> Iterator[Frame]:
        """Submit `graph` and yield the frames about it until it has ended.

        The first frame is `submitted` with the answer of POST /prompt.
        """
        address = self.url.replace("http", "ws", 1) + f"/ws?clientId={self._client_id}"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            with connect(address, additional_headers=headers, max_size=None) as socket:
                body = {"prompt": graph, "client_id": self._client_id}
                answer = self._json(self._ask("POST", "/prompt", json=body))
                yield Frame("submitted", answer)
                yield from _frames_about(socket, answer["prompt_id"])
        except (WebSocketException, OSError, TimeoutError) as error:
            raise Unavailable(
                "the connection broke; the prompt goes on without it, and `studio story` or "
                "/history tell its end",
                url=self.url,
                reason=str(error),
            ) from error

    def pictures(self, prompt_id: str) -> list[Picture]:
        """Return the files of a finished prompt, output by output."""
        entry = self.get(f"/history/{prompt_id}").get(prompt_id)
        if entry is None:
            raise Unavailable("the finished prompt is not in the history", prompt_id=prompt_id)
        found = []
        for output in entry["outputs"].values():
            for image in output.get("images", ()):
                answer = self._ask("GET", "/view", params=image)
                if not answer.is_success:
                    self._json(answer)
                found.append(Picture(image["filename"], answer.content, str(answer.url)))
        return found

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unavailable(
                "the house does not answer; is `studio up` running?",
                url=self.url,
                reason=str(error),
            ) from error

    def _json(self, answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json()
        try:
            body = answer.json()
        except ValueError:
            body = {}
        error = body.get("error", {})
        if not isinstance(error, dict):
            error = {"message": str(error)}
        raise Refused(
            error.get("message") or "the API refused",
            kind=error.get("type", "refused"),
            status=answer.status_code,
            details=error.get("details") or "",
            nodes=_node_errors(body.get("node_errors") or {}),
        )


def _frames_about(socket: ClientConnection, prompt_id: str) -> Iterator[Frame]:
    while True:
        message = socket.recv(timeout=SILENCE_SECONDS_MAX)
        if isinstance(message, bytes):
            continue
        frame = json.loads(message)
        data = frame.get("data", {})
        if data.get("prompt_id") != prompt_id:
            continue
        yield Frame(frame["type"], data)
        if frame["type"] == "executing" and data.get("node") is None:
            return


def _node_errors(node_errors: dict[str, Any]) -> list[str]:
    return [
        f"node {node_id}: {error.get('message')} {error.get('details')}"
        for node_id, entry in node_errors.items()
        for error in entry.get("errors", ())
    ]
