"""What goes wrong, as clients read it: ComfyUI's body for every status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ConfigDict, Field

from libs.chassis.answers import Strict

ERRORS: Final[Mapping[int, str]] = {
    400: "What was sent is wrong; the error names the field and the limit.",
    401: "An API key is needed, or this one is not valid.",
    402: "The balance does not cover the price.",
    403: "Not allowed: by the content policy, the tier, or because another site asks.",
    404: "There is no such thing, or it is not the caller's.",
    409: "Somebody else was faster, or the name is taken.",
    412: "It was changed meanwhile; the error names its version.",
    413: "The body is larger than allowed; the error names the limit.",
    415: "The body is not of the media type that is needed.",
    422: "This prompt_id or Idempotency-Key was used for another workflow.",
    429: "Too much at once: the daily limit is reached, or the queue is full.",
    503: "Not possible now; Retry-After says when to ask again.",
}


class Problem(Strict):
    """One thing that is wrong; `extra_info` holds field, limit and what was received."""

    type: str = Field(examples=["value_bigger_than_max"])
    message: str
    details: str
    extra_info: dict[str, Any]


class NodeProblems(Strict):
    """What is wrong with one node, and which outputs are skipped because of it."""

    errors: list[Problem]
    dependent_outputs: list[str]
    class_type: str


NodeErrors = dict[str, NodeProblems]


class ErrorBody(Strict):
    """The body of every error."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "type": "no_prompt",
                        "message": "No prompt provided",
                        "details": "No prompt provided",
                        "extra_info": {"field": "prompt"},
                    },
                    "node_errors": {},
                }
            ]
        }
    )

    error: Problem
    node_errors: NodeErrors


class JobsError(Strict):
    """An error of `/api/jobs`, as the editor's panels read it."""

    error: str = Field(examples=["Job not found"])


class InvalidIds(Strict):
    """The ids of a batch that are no UUIDs; nothing was cancelled."""

    error: str
    invalid_ids: list[str]
