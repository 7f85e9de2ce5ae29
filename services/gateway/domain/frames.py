"""Frames: what a WebSocket client is told, and the shape of each message.

The words and keys are ComfyUI's; HIP-35's messages are a subset of them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from libs.core.jsonvalue import Json, JsonObject
from libs.events.execution import NodeBlocked, NodeFinished, Output
from libs.events.signals import Placed, Preview, Progress

# The kinds of binary messages, and of pictures in them.
PREVIEW_IMAGE: Final = 1
PREVIEW_WITH_METADATA: Final = 4
JPEG: Final = 1
UI_KEYS: Mapping[str, str] = {"image": "images"}


@dataclass(frozen=True)
class Frame:
    """One text message; `seq` is its place in the log, 0 for news that may be lost."""

    type: str
    data: JsonObject
    seq: int = 0


def status(remaining: int) -> Frame:
    """Say how many of the client's prompts are open."""
    return Frame("status", {"status": {"exec_info": {"queue_remaining": remaining}}})


def execution_start(prompt_id: str, time_ms: int) -> Frame:
    """Say that a worker began."""
    return Frame("execution_start", {"prompt_id": prompt_id, "timestamp": time_ms})


def execution_cached(prompt_id: str, nodes: Iterable[str], time_ms: int) -> Frame:
    """Say which nodes need not be executed again."""
    data: JsonObject = {"nodes": list(nodes), "prompt_id": prompt_id, "timestamp": time_ms}
    return Frame("execution_cached", data)


def executing(prompt_id: str, node_id: str | None, display: str = "") -> Frame:
    """Say which node is at work, and which one shows it; None when the prompt is over."""
    data: JsonObject = {"node": node_id, "prompt_id": prompt_id}
    if node_id is not None:
        data["display_node"] = display or node_id
    return Frame("executing", data)


def progress(prompt_id: str, step: Progress) -> Frame:
    """Say how far the node at work is."""
    return Frame(
        "progress",
        {
            "value": _plain(step.value),
            "max": _plain(step.total),
            "prompt_id": prompt_id,
            "node": step.node_id,
        },
    )


def progress_state(prompt_id: str, nodes: Mapping[str, Progress]) -> Frame:
    """Say how far every node is that is not still waiting."""
    shown: JsonObject = {
        node_id: {
            "value": _plain(step.value),
            "max": _plain(step.total),
            "state": step.state,
            "node_id": node_id,
            "prompt_id": prompt_id,
            **_place(step),
        }
        for node_id, step in nodes.items()
    }
    return Frame("progress_state", {"prompt_id": prompt_id, "nodes": shown})


def executed(prompt_id: str, event: NodeFinished, output: JsonObject) -> Frame:
    """Say what an output node shows."""
    data: JsonObject = {
        "node": event.node_id,
        "display_node": event.display_node or event.node_id,
        "output": output,
        "prompt_id": prompt_id,
    }
    return Frame("executed", data)


def output_of(event: NodeFinished, released: frozenset[int], ui: JsonObject) -> JsonObject:
    """Return what a node shows: its released files by kind, and the rest of its ui."""
    shown: JsonObject = dict(ui)
    for output in event.outputs:
        if output.index in released:
            files = shown.setdefault(UI_KEYS.get(output.kind, output.kind), [])
            if isinstance(files, list):
                files.append(file_of(output))
    return shown


def file_of(output: Output) -> JsonObject:
    """Return an output as clients ask `/view` for it."""
    return {
        "filename": output.filename,
        "subfolder": output.subfolder,
        "type": output.folder,
    }


def preview_plain(preview: Preview) -> bytes:
    """Return a preview as clients know it that have asked for nothing more: type 1, a JPEG."""
    return struct.pack(">II", PREVIEW_IMAGE, JPEG) + preview.image


def preview_with_place(preview: Preview) -> bytes:
    """Return a preview that says which node it is of: type 4."""
    place = {
        "node_id": preview.node_id,
        "prompt_id": preview.prompt_id,
        **_place(preview),
        "image_type": "image/jpeg",
    }
    told = json.dumps(place).encode()
    return struct.pack(">II", PREVIEW_WITH_METADATA, len(told)) + told + preview.image


def node_blocked(prompt_id: str, event: NodeBlocked, detail: JsonObject, time_ms: int) -> Frame:
    """Say why a node is not executed; the run goes on."""
    data: JsonObject = {
        "prompt_id": prompt_id,
        "node_id": event.node_id,
        "node_type": event.node_type,
        "executed": list(event.executed),
        "exception_message": str(detail.get("exception_message") or event.exception_type),
        "exception_type": event.exception_type,
        "traceback": [],
        "current_inputs": {},
        "current_outputs": [],
        "timestamp": time_ms,
    }
    return Frame("execution_error", data)


def _place(news: Placed) -> JsonObject:
    return {
        "display_node_id": news.display_node or news.node_id,
        "parent_node_id": news.parent_node or None,
        "real_node_id": news.real_node or news.node_id,
    }


def _plain(value: float) -> Json:
    """Whole numbers travel without a point: clients read steps as integers."""
    return int(value) if value == int(value) else value
