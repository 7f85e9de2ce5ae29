"""Signals: news that may be lost. Nothing is decided on one but whether a worker is alive."""

from __future__ import annotations

import json
from typing import Literal

from libs.events.base import Wire

SIGNAL_PREFIX = "sig.v1"


def progress_subject(tenant: str, prompt_id: str) -> str:
    """Return where the progress of a prompt is told."""
    return f"{SIGNAL_PREFIX}.{tenant}.progress.{prompt_id}"


def preview_subject(tenant: str, prompt_id: str) -> str:
    """Return where previews of a prompt are shown."""
    return f"{SIGNAL_PREFIX}.{tenant}.preview.{prompt_id}"


def heartbeat_subject(worker_id: str) -> str:
    """Return where a worker says that it is alive."""
    return f"{SIGNAL_PREFIX}.worker.{worker_id}"


RECORDED_SUBJECT = f"{SIGNAL_PREFIX}.recorder.committed"
CONTROL_PREFIX = "ctl.v1"


def control_subject(worker_id: str) -> str:
    """Return where a worker is told to stop what it does."""
    return f"{CONTROL_PREFIX}.{worker_id}"


FREE_SUBJECT = f"{CONTROL_PREFIX}.every.free"


class Placed(Wire):
    """News of a node; one that an expansion made says where it belongs, as `NodeFinished` does."""

    node_id: str
    display_node: str = ""
    parent_node: str = ""
    real_node: str = ""


class Progress(Placed):
    """One step of an attempt: a node started, moved on, or finished."""

    prompt_id: str
    attempt: int
    order: int
    state: Literal["running", "finished", "error"]
    value: float = 0
    total: float = 1
    announces: bool = False


class Preview(Placed):
    """A glance at an unfinished picture, a JPEG; nobody has looked at it yet."""

    prompt_id: str
    attempt: int
    image: bytes

    def encode(self) -> bytes:
        """Return what goes over the bus: a line of facts, then the picture."""
        facts = self.model_dump_json(exclude={"image"})
        return facts.encode() + b"\n" + self.image

    @classmethod
    def decode(cls, data: bytes) -> Preview:
        """Read a preview; raise ValueError if it is none."""
        facts, _, image = data.partition(b"\n")
        known = json.loads(facts)
        if not isinstance(known, dict):
            raise TypeError("a preview begins with its facts")
        return cls.model_validate({**known, "image": image})


class Heartbeat(Wire):
    """The worker lives; `prompt_id` and `attempt` say what it works on."""

    worker_id: str
    slot: str
    prompt_id: str = ""
    attempt: int = 0
    vram_free_mib: int = 0
    warm: tuple[str, ...] = ()
    sent_ms: int = 0


class Committed(Wire):
    """The recorder has archived everything up to `seq`."""

    stream: str
    seq: int


class Free(Wire):
    """Workers should let go of what they keep, when nothing is executed."""

    models: bool = False
    results: bool = False


class Stop(Wire):
    """The worker must stop this attempt, whose tenant older schedulers do not say."""

    tenant: str = ""
    prompt_id: str
    attempt: int
    reason: str
