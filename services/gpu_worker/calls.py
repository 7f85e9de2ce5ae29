"""What the engine asks the agent for, names, inputs, digests."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any, Final, cast

from libs.core.errors import NotFound, Refused, Unavailable
from libs.core.jsonvalue import JsonObject
from libs.nodes.context import Interrupted, OutputFile, SavedFile
from services.gpu_worker.frames import Frame, Link

ANSWER_SECONDS_MAX: Final = 900.0


class Calls:
    """Asked by the main thread and by the one that saves files, answered on the hearing one."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Frame]] = {}
        self._number = 0

    def answered(self, frame: Frame) -> None:
        """Take in an answer; nobody waits any more for a late one."""
        number = frame.facts.get("call")
        with self._lock:
            waiting = self._waiting.get(number) if isinstance(number, int) else None
        if waiting is not None:
            waiting.put(frame)

    def save(self, mark: JsonObject, node_id: str, file: OutputFile) -> SavedFile:
        """Hand a file to the agent and return the name that it got."""
        facts: JsonObject = {
            "node_id": node_id,
            "extension": file.extension,
            "mime": file.mime,
            "filename_prefix": file.filename_prefix,
            "folder": file.folder,
            "width": file.width,
            "height": file.height,
            "batch_number": file.batch_number,
        }
        saved = self._ask("save", {**mark, **facts}, file.data).facts
        return SavedFile(
            filename=str(saved["filename"]), subfolder=str(saved["subfolder"]), type=file.folder
        )

    def read_input(self, mark: JsonObject, name: str) -> bytes:
        """Return an uploaded file."""
        return self._ask("read_input", {**mark, "name": name}).blobs[0]

    def digest_of(self, mark: JsonObject, name: str) -> str:
        """Return what changes when the uploaded file is replaced."""
        return str(self._ask("digest", {**mark, "name": name}).facts["digest"])

    def known_results(self, mark: JsonObject, digests: Sequence[str]) -> dict[str, int]:
        """Return which results other workers kept, with their sizes in bytes."""
        asked: JsonObject = {**mark, "digests": list(digests)}
        return cast("dict[str, int]", self._ask("known_results", asked).facts["known"])

    def fetch_result(self, mark: JsonObject, digest: str) -> bytes | None:
        """Return a result that another worker kept, or None when it cannot be had now."""
        blobs = self._ask("fetch_result", {**mark, "digest": digest}).blobs
        return blobs[0] if blobs else None

    def keep_result(self, mark: JsonObject, digest: str, data: bytes) -> None:
        """Hand a result to the agent, which keeps it if it can; nobody waits."""
        self._link.send("keep_result", {**mark, "digest": digest}, data)

    def _ask(self, kind: str, facts: JsonObject, *blobs: bytes) -> Frame:
        answer: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = answer
        try:
            self._link.send(kind, {**facts, "call": number}, *blobs)
            return _checked(answer.get(timeout=ANSWER_SECONDS_MAX))
        except queue.Empty:
            raise Unavailable("the agent does not answer", call=kind) from None
        finally:
            with self._lock:
                del self._waiting[number]


def _checked(answer: Frame) -> Frame:
    error = answer.facts.get("error")
    if not isinstance(error, dict):
        return answer
    message = str(error["message"])
    told = cast("JsonObject", error.get("facts") or {})
    facts: dict[str, Any] = {k: v for k, v in told.items() if k not in ("kind", "status")}
    match error["code"]:
        case "interrupted":
            raise Interrupted(message)
        case "not_found":
            raise NotFound(message, **facts)
    raise Refused(message, **facts)
