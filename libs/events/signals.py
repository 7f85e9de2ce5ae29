"""Signals: news that may be lost. Nothing is decided on one but whether a worker is alive."""

from __future__ import annotations

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


class Progress(Wire):
    """One step of an attempt: a node started, moved on, or finished."""

    prompt_id: str
    attempt: int
    order: int
    node_id: str
    state: Literal["running", "finished", "error"]
    value: float = 0
    total: float = 1
    announces: bool = False


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


class Stop(Wire):
    """The worker must stop this attempt."""

    prompt_id: str
    attempt: int
    reason: str
