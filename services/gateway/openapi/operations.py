"""Each operation as clients are told of it; the routes name them in their tables."""

from __future__ import annotations

from typing import Final

from libs.core.jsonvalue import JsonObject
from services.gateway.openapi import answers as told
from services.gateway.openapi import bodies as sent
from services.gateway.openapi.errors import InvalidIds, JobsError
from services.gateway.openapi.words import Answer, Body, Doc, Param, failure

PICTURES: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")
FILES: Final = (
    *PICTURES,
    "video/mp4",
    "video/webm",
    "audio/flac",
    "model/gltf-binary",
    "application/octet-stream",
)
COMMAND_ERRORS: Final = (400, 401, 403, 413, 503)
NO_STRANGERS: Final = (403,)

IN_COMFY: Final = (
    Param("format", "`comfyui` asks for ComfyUI's shapes.", example="comfyui"),
    Param(
        "Comfy-User",
        "Sent by ComfyUI's editor; asks for ComfyUI's shapes.",
        place="header",
    ),
)
PROMPT_ID: Final = Param("prompt_id", "Id of a prompt.", place="path")
DONE: Final = Answer("Done.")

POST_PROMPT: Final = Doc(
    "prompts",
    {
        200: Answer(
            "Queued. `node_errors` names outputs that are skipped.",
            (told.PromptAnswer,),
            example={
                "prompt_id": "0199c6a0-1234-7000-8000-00000000abcd",
                "number": 0,
                "node_errors": {},
            },
        )
    },
    params=(
        Param(
            "Idempotency-Key",
            "The same key and body again meet the same prompt.",
            {"type": "string", "maxLength": 255},
            place="header",
        ),
    ),
    api_params=IN_COMFY,
    body=Body(
        sent.PromptBody,
        required=True,
        examples={"comfyui": sent.COMFY_PROMPT, "hip35": sent.HIP_PROMPT},
    ),
    errors=(400, 401, 402, 403, 409, 413, 422, 429, 503),
    api_errors=(415,),
)
GET_PROMPT: Final = Doc("prompts", {200: Answer("How many are open.", (told.Remaining,))})
INTERRUPT: Final = Doc(
    "prompts",
    {200: DONE},
    api_params=IN_COMFY,
    body=Body(sent.InterruptBody),
    errors=(*COMMAND_ERRORS, 409),
    api_errors=(415,),
)
POST_LIST: Final = Doc(
    "prompts",
    {200: DONE},
    api_params=IN_COMFY,
    body=Body(sent.ListBody),
    errors=(*COMMAND_ERRORS, 409),
    api_errors=(415,),
)
CANCEL_JOB: Final = Doc(
    "jobs",
    {200: Answer("Whether it was.", (told.Cancelled,))},
    (PROMPT_ID,),
    errors=(401, 403, 409, 503),
)
CANCEL_JOBS: Final = Doc(
    "jobs",
    {200: Answer("Whether any was.", (told.Cancelled,)), 400: failure(400, InvalidIds)},
    api_params=IN_COMFY,
    body=Body(sent.JobIdsBody),
    errors=(*COMMAND_ERRORS, 409),
    api_errors=(415,),
)

GET_QUEUE: Final = Doc(
    "prompts",
    {200: Answer("Running and waiting prompts.", (told.ComfyQueue,), (told.HipQueue,))},
    api_params=IN_COMFY,
)
WHOLE: Final[JsonObject] = {"type": "integer"}
GET_HISTORY: Final = Doc(
    "prompts",
    {200: Answer("Finished prompts.", (told.ComfyHistory,), (told.HipHistory,))},
    params=(
        Param("max_items", "How many; negative means as many as there may be.", WHOLE),
        Param("offset", "How many of the oldest to leave out.", WHOLE),
        Param("prompt_id", "Only this one."),
        Param("before", "The id of a prompt: only the newest of those that ended before it."),
    ),
    api_params=IN_COMFY,
    errors=(400, 401, 403, 503),
)
GET_HISTORY_OF_ONE: Final = Doc(
    "prompts",
    {200: Answer("The prompt, or nothing.", (told.ComfyHistory,), (told.HipHistory,))},
    params=(PROMPT_ID,),
    api_params=IN_COMFY,
)

VIEW: Final = Doc(
    "files",
    {
        200: Answer(
            "The bytes of the file.",
            media=FILES,
            headers={"ETag": {"description": "Names the bytes.", "schema": {"type": "string"}}},
        ),
        304: Answer("The bytes are those that `If-None-Match` names."),
    },
    params=(
        Param("filename", "Name of the file.", {"type": "string", "minLength": 1}, required=True),
        Param("subfolder", "Folder below the root of its type."),
        Param("type", "Its root.", {"type": "string", "enum": ["output", "input", "temp", ""]}),
        Param("preview", "Smaller, as `webp;90` or `jpeg;80`.", example="webp;90"),
        Param("channel", "What of it.", {"type": "string", "enum": ["rgba", "rgb", "a"]}),
    ),
    errors=(400, 401, 403, 404, 415, 503),
)
UPLOAD_ERRORS: Final = (400, 401, 403, 409, 413, 415, 503)
UPLOAD_IMAGE: Final = Doc(
    "files",
    {200: Answer("It is kept under this name.", (told.Kept,))},
    body=Body(sent.ImageForm, "multipart/form-data", required=True),
    errors=UPLOAD_ERRORS,
)
UPLOAD_MASK: Final = Doc(
    "files",
    {200: Answer("The masked picture is kept under this name.", (told.Kept,))},
    body=Body(sent.MaskForm, "multipart/form-data", required=True),
    errors=(*UPLOAD_ERRORS, 404),
)

OBJECT_INFO: Final = Doc("nodes", {200: Answer("All node types.", (told.ObjectInfo,))})
OBJECT_INFO_OF_ONE: Final = Doc(
    "nodes",
    {200: Answer("The node type, or nothing.", (told.ObjectInfo,))},
    (Param("node_type", "Name of a node type.", place="path", example="KSampler"),),
)
NODES: Final = Doc("nodes", {200: Answer("All NodeDefinitions.", (told.NodeDefinitions,))})
FOLDERS: Final = Doc("nodes", {200: Answer("Kinds of model files.", (told.Names,))})
MODELS: Final = Doc(
    "nodes",
    {
        200: Answer("The files of that kind.", (told.Names,)),
        404: Answer("There is no such kind.", (told.Names,), example=[]),
    },
    (Param("folder", "A kind of model files.", place="path", example="checkpoints"),),
)

STATUSES: Final = "pending|in_progress|completed|failed|cancelled"
UUID: Final = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
JOBS: Final = Doc(
    "jobs",
    {
        200: Answer("Prompts, newest first unless asked otherwise.", (told.Jobs,)),
        400: Answer("A parameter is wrong.", (JobsError,)),
    },
    (
        Param(
            "status",
            "Only these, separated by commas.",
            {"type": "string", "pattern": f"^(({STATUSES})(,({STATUSES}))*)?$"},
        ),
        Param(
            "workflow_id",
            "Only those made from the document of this id.",
            {"type": "string", "pattern": f"^({UUID})?$"},
        ),
        Param("sort_by", "By what.", {"enum": ["created_at", "execution_duration"]}),
        Param("sort_order", "Which way.", {"enum": ["asc", "desc"]}),
        Param("limit", "How many.", {"type": "integer", "minimum": 1}),
        Param("offset", "From which.", {"type": "integer", "minimum": 0}),
    ),
)
JOB: Final = Doc(
    "jobs",
    {
        200: Answer("The prompt.", (told.JobDetail,)),
        404: Answer("There is no such prompt.", (JobsError,)),
    },
    (PROMPT_ID,),
)

FEATURES: Final = Doc("server", {200: Answer("Features.", (told.Facts,))}, errors=())
SYSTEM_STATS: Final = Doc("server", {200: Answer("Versions, devices.", (told.SystemStats,))})
EMBEDDINGS: Final = Doc("server", {200: Answer("Names of embeddings.", (told.Names,))})
USERS: Final = Doc("server", {200: Answer("The one user.", (told.Users,))})

HEALTHZ: Final = Doc("probes", {200: Answer("It lives.", (told.Alive,))}, errors=())
READYZ: Final = Doc(
    "probes",
    {
        200: Answer("Prompts are taken.", (told.Ready,)),
        503: Answer("Something is missing.", (told.Ready,)),
    },
    errors=(),
)
METRICS: Final = Doc("probes", {200: Answer("Prometheus' text.", media=("text/plain",))}, errors=())

PAGE: Final = Doc("page", {200: Answer("A page.", media=("text/html",))}, errors=(403,))
SCRIPT: Final = Doc("page", {200: Answer("Its script.", media=("text/javascript",))}, errors=())
STYLE: Final = Doc("page", {200: Answer("Its style.", media=("text/css",))}, errors=())
TEXT: Final = Doc("page", {200: Answer("A text.", media=("text/plain",))}, errors=())
DEMO: Final = Doc("page", {200: Answer("The demo model.", (told.Demo,))}, errors=(403, 503))
HTML: Final = ("text/html",)
ROOT: Final = Doc(
    "page",
    {
        200: Answer("A page.", media=HTML),
        302: Answer("To the editor with that prompt, or the demo, open."),
        303: Answer("To the login page."),
    },
    (Param("workflow", "The id of a prompt of the caller's, to be opened."),),
    errors=(403, 503),
)
LOGIN_PAGE: Final = Doc("page", {200: Answer("A page.", media=HTML)}, errors=(403, 503))
LOGIN: Final = Doc(
    "page",
    {
        200: Answer("Where there is no login.", media=HTML),
        303: Answer("To the editor, with the cookie `studio_token`."),
        401: Answer("The page: the key is not valid.", media=HTML),
        429: Answer("The page: too many wrong keys.", media=HTML),
    },
    body=Body(sent.KeyForm, "application/x-www-form-urlencoded"),
    errors=(400, 403, 413, 503),
)
LOGOUT: Final = Doc(
    "page",
    {
        200: Answer("Where there is no login.", media=HTML),
        303: Answer("To the login page; the session has ended."),
    },
    errors=(403, 503),
)
JOB_EVENTS: Final = Doc(
    "jobs",
    {
        200: Answer(
            "Server-sent events, to the end of the prompt: `job`, then the frames of a WebSocket. "
            "What may not be lost has an id.",
            media=("text/event-stream",),
        ),
        204: Answer("It is over, and all of it was told."),
        404: failure(404, JobsError),
    },
    (
        PROMPT_ID,
        Param("Last-Event-ID", "The last id that was heard.", place="header"),
        Param("lastEventId", "The same, where headers cannot be set."),
    ),
    errors=(400, 401, 403, 503),
)
