"""The workflows that a user keeps, as clients are told of them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from libs.chassis.answers import Strict, Time
from libs.core.jsonvalue import JsonObject
from services.gateway.domain.documents import NAME_CHARACTERS_MAX
from services.gateway.openapi.answers import Objects, Pagination
from services.gateway.openapi.words import Answer, Body, Doc, Param

Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS_MAX)]
TAG: Final = "workflows"
FINDING: Final = (400, 401, 403, 404, 503)
CHANGING: Final = (400, 401, 403, 404, 412, 413, 415, 503)
COUNT: Final[JsonObject] = {"type": "integer", "minimum": 0}


class NewWorkflow(BaseModel):
    """A workflow to be kept: ComfyUI's API form, HIP-35's form, or the editor's document."""

    name: Name
    workflow: dict[str, Any]


class WorkflowChange(BaseModel):
    """What the next version has of its own: another name, another workflow, or both."""

    name: Name | None = None
    workflow: dict[str, Any] | None = None


class WorkflowFacts(Strict):
    """A version of a workflow; `modified` is when this version was made, `size` its bytes."""

    id: str
    name: str
    version: int
    size: int
    created: Time
    modified: Time


class SavedWorkflow(WorkflowFacts):
    """A version of a workflow, as it was handed in."""

    workflow: Objects


class PromptWorkflow(Strict):
    """What made a picture, as the editor opens it; a prompt has no versions."""

    id: str
    prompt_id: str
    workflow: Objects


class WorkflowList(Strict):
    """Workflows by their newest versions, the last changed first."""

    workflows: list[WorkflowFacts]
    pagination: Pagination


class WorkflowVersions(Strict):
    """The versions of a workflow that are kept, the newest first."""

    versions: list[WorkflowFacts]


ID: Final = Param("id", "Id of a workflow.", place="path")
VERSION: Final = Param(
    "version", "Number of a version.", {"type": "integer", "minimum": 1}, place="path"
)
IF_MATCH: Final = Param(
    "If-Match",
    "The version that the change is based on, as `ETag` told it; `*`, or nothing, is any.",
    place="header",
    example='"1"',
)
ETAG: Final[JsonObject] = {
    "ETag": {"description": "The version, in quotes.", "schema": {"type": "string"}}
}
KEPT: Final = Answer("The version that is now the newest.", (WorkflowFacts,), headers=ETAG)

WORKFLOWS: Final = Doc(
    TAG,
    {200: Answer("A part of the list.", (WorkflowList,))},
    (
        Param("search", "Only workflows with this in their name, whatever its case."),
        Param("limit", "How many, 100 if not said, 1,000 at most.", COUNT),
        Param("offset", "How many to pass over.", COUNT),
    ),
    errors=(400, 401, 403, 503),
)
POST_WORKFLOW: Final = Doc(
    TAG,
    {201: Answer("It is kept, as version 1.", (WorkflowFacts,), headers=ETAG)},
    body=Body(NewWorkflow, required=True),
    errors=(400, 401, 403, 413, 415, 503),
)
WORKFLOW: Final = Doc(
    TAG,
    {200: Answer("Its newest version.", (SavedWorkflow, PromptWorkflow))},
    (Param("id", "Id of a workflow, or of a prompt of one's own.", place="path"),),
    errors=FINDING,
)
PUT_WORKFLOW: Final = Doc(
    TAG,
    {200: KEPT},
    (ID, IF_MATCH),
    body=Body(WorkflowChange, required=True),
    errors=CHANGING,
)
DELETE_WORKFLOW: Final = Doc(
    TAG, {204: Answer("It is gone, with all versions.")}, (ID, IF_MATCH), errors=(*FINDING, 412)
)
VERSIONS: Final = Doc(
    TAG, {200: Answer("All that are kept.", (WorkflowVersions,))}, (ID,), errors=FINDING
)
READ_VERSION: Final = Doc(
    TAG, {200: Answer("This version.", (SavedWorkflow,))}, (ID, VERSION), errors=FINDING
)
RESTORE: Final = Doc(TAG, {200: KEPT}, (ID, VERSION, IF_MATCH), errors=(*FINDING, 412, 413))
