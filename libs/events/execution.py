"""One attempt of a run on a worker.

`order` counts the news of one attempt, events and signals together, so that whoever shows them
can show them in the order in which they happened.
"""

from __future__ import annotations

from libs.events.base import PromptScoped, Sealed, Wire


class Output(Wire):
    """A stored file that an output node made; in quarantine under `artifact` until released."""

    index: int
    kind: str
    filename: str
    subfolder: str
    folder: str
    artifact: str
    sha256: str
    mime: str
    size_bytes: int
    width: int = 0
    height: int = 0


class ExecutionEvent(PromptScoped):
    """Owned by gpu_worker."""

    owner = "gpu_worker"
    kind = "execution"

    attempt: int
    worker_id: str
    order: int


class ExecutionStarted(ExecutionEvent):
    """The worker began; `cached` nodes need not be executed again."""

    cached: tuple[str, ...] = ()


class NodeFinished(ExecutionEvent):
    """An output node finished; `ui` seals what it shows besides files.

    A node that an expansion made names the node that shows it, the one that made it, and the
    client's own behind it.
    """

    node_id: str
    node_type: str
    outputs: tuple[Output, ...] = ()
    ui: Sealed | None = None
    display_node: str = ""
    parent_node: str = ""
    real_node: str = ""


class NodeBlocked(ExecutionEvent):
    """A node is not executed, for a reason that `detail` seals; the run goes on."""

    node_id: str
    node_type: str
    exception_type: str
    detail: Sealed
    executed: tuple[str, ...] = ()


class ExecutionFinished(ExecutionEvent):
    """All output nodes finished; `outputs` counts their files, so a reader knows when it has all."""

    compute_ms: int
    outputs: int
    executed: tuple[str, ...] = ()
    peak_vram_mib: int = 0
    fingerprint: dict[str, str] = {}


class ExecutionFailed(ExecutionEvent):
    """A node raised, or the engine died; `detail` seals message, traceback and inputs."""

    node_id: str
    node_type: str
    exception_type: str
    detail: Sealed
    executed: tuple[str, ...] = ()
    retryable: bool = False
    compute_ms: int = 0


def failed_at(exception_type: str, node_id: str, node_type: str) -> str:
    """Return what went wrong and where, as the end of a run gives it for its reason."""
    return f"{exception_type} in node {node_id} ({node_type})" if node_id else exception_type


class ExecutionInterrupted(ExecutionEvent):
    """The worker stopped because it was told to."""

    node_id: str = ""
    node_type: str = ""
    executed: tuple[str, ...] = ()
    compute_ms: int = 0


ExecutionEvents = (
    ExecutionStarted
    | NodeFinished
    | NodeBlocked
    | ExecutionFinished
    | ExecutionFailed
    | ExecutionInterrupted
)
