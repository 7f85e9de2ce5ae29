"""What we answer when all is well."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import RootModel

from libs.chassis.answers import Strict, Time
from services.gateway.openapi.bodies import Id
from services.gateway.openapi.errors import NodeErrors

Objects = dict[str, Any]


class PromptAnswer(Strict):
    """The prompt is queued; `number` is how many of the caller's prompts go first."""

    prompt_id: Id
    number: int
    node_errors: NodeErrors


class ExecInfo(Strict):
    """How many prompts of the caller are open."""

    queue_remaining: int


class Remaining(Strict):
    """How the queue stands."""

    exec_info: ExecInfo


class Cancelled(Strict):
    """Whether an open prompt was cancelled."""

    cancelled: bool


# number, prompt id, workflow, extra data, output nodes
ComfyItem = tuple[float, str, Any, Objects, list[str]]


class ComfyQueue(Strict):
    """The queue as clients of ComfyUI read it."""

    queue_running: list[ComfyItem]
    queue_pending: list[ComfyItem]


class HipRunning(Strict):
    """A prompt that a worker executes."""

    prompt_id: str
    workflow: Any
    started: Time | None


class HipPending(Strict):
    """A prompt that waits; `number` is its place in the line, from 0."""

    prompt_id: str
    number: int
    queued: Time | None
    seq: int | None


class HipQueue(Strict):
    """The queue as HIP-35 describes it."""

    queue_running: list[HipRunning]
    queue_pending: list[HipPending]


class Status(Strict):
    """How a prompt ended; `messages` tell of it step by step."""

    status_str: Literal["success", "error"]
    completed: bool
    messages: list[tuple[str, Objects]]


class HipStatus(Strict):
    """How a prompt ended; a message is a time and a text."""

    status_str: Literal["success", "error"]
    completed: bool
    messages: list[tuple[Time, str]]


class ComfyEntry(Strict):
    """A finished prompt as clients of ComfyUI read it."""

    prompt: ComfyItem
    outputs: dict[str, Objects]
    status: Status
    meta: dict[str, Objects]


class ComfyHistory(RootModel[dict[str, ComfyEntry]]):
    """Finished prompts by id, oldest first."""


class Usage(Strict):
    """What a prompt used and cost."""

    compute_ms: int
    cost_credits: float
    cost_usd: float


class HipEntry(Strict):
    """A finished prompt as HIP-35 describes it."""

    prompt: Any
    outputs: dict[str, Objects]
    status: HipStatus
    usage: Usage
    outcome: Literal["succeeded", "failed", "cancelled", "blocked", "expired"] | None
    extra_data: Objects
    submitted: Time
    ended: Time | None
    seq: int | None


class HipHistory(RootModel[dict[str, HipEntry]]):
    """Finished prompts by id, oldest first."""


class Kept(Strict):
    """Under which name an uploaded picture is kept."""

    name: str
    subfolder: str
    type: Literal["input", "temp"]


class NodeInfo(Strict):
    """One node type as ComfyUI's editor reads it."""

    input: Objects
    input_order: dict[str, list[str]]
    is_input_list: bool
    output: list[str | list[Any]]
    output_is_list: list[bool]
    output_name: list[str]
    output_tooltips: list[str | None] | None = None
    output_matchtypes: list[str | None] | None = None
    name: str
    display_name: str
    description: str
    python_module: str
    category: str
    output_node: bool
    has_intermediate_output: bool
    search_aliases: list[str]
    deprecated: bool | None = None
    experimental: bool | None = None


class ObjectInfo(RootModel[dict[str, NodeInfo]]):
    """Node types by name."""


class NodeDefinition(Strict):
    """One node type as HIP-35 describes it."""

    type: str
    display_name: str
    category: str
    inputs: dict[str, Objects]
    outputs: dict[str, Objects]
    function: str


class NodeDefinitions(RootModel[dict[str, NodeDefinition]]):
    """NodeDefinitions by name."""


class Names(RootModel[list[str]]):
    """Names, in order."""


class Preview(Strict):
    """The picture that stands for a prompt."""

    filename: str
    subfolder: str
    type: str
    nodeId: str  # noqa: N815 - the editor's spelling
    mediaType: str  # noqa: N815


class Job(Strict):
    """A prompt in the list of all prompts; times are milliseconds since 1970."""

    id: str
    status: Literal["pending", "in_progress", "completed", "failed", "cancelled"]
    priority: float
    create_time: int
    execution_start_time: int | None = None
    execution_end_time: int | None = None
    outputs_count: int
    previewable_outputs_count: int
    preview_output: Preview | None = None
    execution_error: Objects | None = None
    workflow_id: str | None = None


class JobDetail(Job):
    """One prompt with its workflow, and its outputs if it is over."""

    workflow: Objects
    outputs: dict[str, Objects] | None = None
    execution_status: Status | None = None


class Pagination(Strict):
    """Which part of the list this is."""

    offset: int
    limit: int | None
    total: int
    has_more: bool


class Jobs(Strict):
    """Open and finished prompts in one list."""

    jobs: list[Job]
    pagination: Pagination


class Facts(RootModel[Objects]):
    """Facts by name."""


class Package(Strict):
    """A package of ComfyUI that is served here."""

    name: str
    installed: str
    required: str


class System(Strict):
    """Versions, and the memory of the gateway's machine."""

    os: str
    ram_total: int
    ram_free: int
    comfyui_version: str
    python_version: str
    pytorch_version: str
    embedded_python: bool
    deploy_environment: str
    required_frontend_version: str | None = None
    comfy_package_versions: list[Package]
    argv: list[str]


class Device(Strict):
    """One worker's device; bytes."""

    name: str
    type: str
    index: int
    vram_total: int
    vram_free: int
    torch_vram_total: int
    torch_vram_free: int


class SystemStats(Strict):
    """Versions, and the devices of the fleet."""

    system: System
    devices: list[Device]


class Users(Strict):
    """Whoever asks is the one user."""

    storage: Literal["server"]
    migrated: bool


class Alive(Strict):
    """The process lives."""

    status: Literal["ok"]


class Ready(Strict):
    """Whether prompts are taken; `missing` names what is not there yet."""

    ready: bool
    missing: list[str]


class Demo(Strict):
    """What the demo model knows, and a graph that uses it."""

    auth: Literal["local", "keys"]
    known: bool
    card: Any
    graph: Any
