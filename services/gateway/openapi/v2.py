"""Comfy API v2 as clients are told of it; the official SDK's contract in our own words."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.chassis.answers import Strict, Time
from services.gateway.openapi.answers import Objects
from services.gateway.openapi.errors import ERRORS
from services.gateway.openapi.words import RETRY_AFTER, RETRYING, Answer, Body, Doc, Param

Status = Literal["queued", "running", "succeeded", "canceling", "canceled", "failed", "expired"]


class V2Problem(Strict):
    """What is wrong; `details` holds `node_errors` where a workflow is refused."""

    code: str = Field(examples=["not_found"])
    message: str
    details: Objects | None


class V2Error(Strict):
    """The body of every error under `/api/v2`."""

    error: V2Problem


class V2Asset(Strict):
    """A file: what a user uploaded, or what a job made."""

    id: str
    hash: str | None
    size_bytes: int
    content_type: str
    file_path: str
    created_at: Time
    url: str
    url_expires_at: Time
    expires_at: None
    job_id: str | None
    created_new: bool | None = None


class V2Progress(Strict):
    """How far a job is."""

    value: float
    nodes_done: int
    nodes_total: int
    current_node: str | None = None
    step: int | None = None
    steps: int | None = None
    message: str | None = None


class V2Output(Strict):
    """A file that a job made."""

    node_id: str
    name: str
    type: Literal["image", "video", "audio", "text", "file"]
    content_type: str
    size_bytes: int
    id: str
    hash: None
    url: str
    url_expires_at: Time
    job_id: str


class V2JobError(Strict):
    """Why a job failed."""

    code: str
    message: str
    node_id: str | None
    class_type: str | None
    traceback: str | None


class V2Links(Strict):
    """Where to go on."""

    self: str
    events: str
    cancel: str


class V2Job(Strict):
    """One execution of a workflow."""

    id: str
    status: Status
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    expires_at: Time
    queue_position: int | None
    progress: V2Progress | None
    outputs: list[V2Output]
    error: V2JobError | None
    metrics: dict[str, int | None]
    urls: V2Links


class V2Listed(Strict):
    """A job in a list."""

    id: str
    status: Status
    create_time: Time
    update_time: Time


class V2Jobs(Strict):
    """Jobs, the newest first; `next_cursor` is there while there are more."""

    jobs: list[V2Listed]
    next_cursor: str | None = None


class V2Workflow(Strict):
    """The graph that a job executed."""

    workflow: Any
    format: Literal["api"]


class V2Credentials(BaseModel):
    """Credentials of another company, which are thrown away."""

    model_config = ConfigDict(extra="forbid")

    api_key_comfy_org: str | None = None


class V2Submission(BaseModel):
    """A workflow in API format; files may stand in it as `core/ASSET` references."""

    workflow: dict[str, Any] = Field(
        examples=[{"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64}}}]
    )
    extra_data: V2Credentials | None = None


class V2Hash(BaseModel):
    """The hash of bytes that may be here already."""

    hash: Annotated[str, Field(examples=["blake3:" + "0" * 64])]


class V2Form(BaseModel):
    """A picture to be kept."""

    file: bytes = Field(description="PNG, JPEG or WebP.", json_schema_extra={"format": "binary"})
    content_type: str = "image/png"
    file_path: str = Field(description="Its name, with folders in front of it if need be.")
    expected_hash: str | None = Field(default=None, description="Refused if it is another.")


def _failing(*statuses: int) -> dict[int, Answer]:
    return {
        status: Answer(
            ERRORS[status], (V2Error,), headers=RETRY_AFTER if status in RETRYING else {}
        )
        for status in (401, 403, 503, *statuses)
    }


ASSET_ID: Final = Param("id", "Id of an asset.", place="path")
JOB_ID: Final = Param("id", "Id of a job: the prompt's id.", place="path")
AN_ASSET: Final = Answer("The asset.", (V2Asset,))
A_JOB: Final = Answer("The job.", (V2Job,))
TAG: Final = "comfy api v2"

KEEP: Final = Doc(
    TAG,
    {
        201: Answer("It is kept.", (V2Asset,)),
        200: Answer("Its bytes are here already.", (V2Asset,)),
        **_failing(409, 413, 415, 422),
    },
    body=Body(V2Form, "multipart/form-data", required=True),
    errors=(),
)
FROM_HASH: Final = Doc(
    TAG, {200: AN_ASSET, **_failing(404, 413, 422)}, body=Body(V2Hash, required=True), errors=()
)
BY_HASH: Final = Doc(
    TAG,
    {200: Answer("They are here."), **_failing(404)},
    (Param("hash", "`blake3:` and 64 hex digits.", place="path"),),
    errors=(),
)
ASSET: Final = Doc(TAG, {200: AN_ASSET, **_failing(404)}, (ASSET_ID,), errors=())
FORGET: Final = Doc(
    TAG, {204: Answer("The record is gone."), **_failing(404, 409)}, (ASSET_ID,), errors=()
)
CONTENT: Final = Doc(
    TAG,
    {200: Answer("The bytes.", media=("*/*",)), **_failing(404)},
    (ASSET_ID,),
    errors=(),
)
SUBMIT: Final = Doc(
    TAG,
    {201: Answer("Queued.", (V2Job,)), **_failing(402, 413, 422, 429)},
    (
        Param(
            "Idempotency-Key",
            "May make one job; a second submission with it is refused.",
            {"type": "string", "maxLength": 255},
            place="header",
        ),
    ),
    body=Body(V2Submission, required=True),
    errors=(),
)
JOBS: Final = Doc(
    TAG,
    {200: Answer("Jobs.", (V2Jobs,)), **_failing(422)},
    (
        Param("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": 500}),
        Param("cursor", "`next_cursor` of the page before."),
    ),
    errors=(),
)
JOB: Final = Doc(TAG, {200: A_JOB, **_failing(404)}, (JOB_ID,), errors=())
WORKFLOW: Final = Doc(
    TAG, {200: Answer("The graph.", (V2Workflow,)), **_failing(404)}, (JOB_ID,), errors=()
)
LOGS: Final = Doc(TAG, {204: Answer("There is no log."), **_failing(404)}, (JOB_ID,), errors=())
EVENTS: Final = Doc(
    TAG,
    {
        200: Answer("Events `status`, `progress`, `output`.", media=("text/event-stream",)),
        **_failing(404, 429),
    },
    (JOB_ID,),
    errors=(),
)
CANCEL: Final = Doc(TAG, {200: A_JOB, **_failing(404, 409)}, (JOB_ID,), errors=())
