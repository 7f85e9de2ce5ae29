"""What clients send."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.core.jsonvalue import Json

UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
NUMERAL: Final = r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$"

Flag = bool | Literal[0, 1] | None
Id = Annotated[str, Field(pattern=UUID)]


class ComfyNode(BaseModel):
    """A node of ComfyUI's API form; an input is a value or a link `[node id, output index]`."""

    class_type: str = Field(min_length=1, max_length=200, examples=["EmptyImage"])
    inputs: dict[str, Any] = Field(default_factory=dict)


class HipNode(BaseModel):
    """A node of HIP-35; an input is a value or a link `[node id, output name]`."""

    type: str = Field(min_length=1, max_length=200, examples=["EmptyImage"])
    inputs: dict[str, Any] = Field(default_factory=dict)


class HipWorkflow(BaseModel):
    """HIP-35's WorkflowJSON."""

    version: Literal[1]
    nodes: dict[str, HipNode]


class PromptBody(BaseModel):
    """A workflow handed in, and where its news goes."""

    model_config = ConfigDict(json_schema_extra={"required": ["prompt"]})

    prompt: HipWorkflow | dict[str, ComfyNode] = Field(description="The workflow, either dialect.")
    client_id: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="`clientId` of the WebSocket that hears of it."
    )
    prompt_id: Id | None = Field(default=None, description="An id of the caller's own choice.")
    extra_data: dict[str, Any] | None = Field(
        default=None,
        description="`extra_pnginfo.workflow` is written into the PNG; `profile` is `exact` or "
        "`fast`, `engine` is `auto`, `torch` or `portable`.",
    )
    partial_execution_targets: Annotated[list[str], Field(min_length=1, max_length=500)] | None = (
        Field(default=None, description="Execute these output nodes only.")
    )
    front: Flag = Field(default=None, description="Go before all that waits.")
    number: (
        Annotated[float, Field(ge=-(2**53), le=2**53)]
        | Annotated[str, Field(pattern=NUMERAL)]
        | None
    ) = Field(default=None, description="A place in the line; lower goes first.")


class InterruptBody(BaseModel):
    """Which running prompt to stop; all of the caller's without an id."""

    prompt_id: str | None = None


class ListBody(BaseModel):
    """Which prompts to take out of the queue or the history."""

    clear: Flag = Field(default=None, description="All of them.")
    delete: Annotated[list[str], Field(max_length=10_000)] | None = None


class JobIdsBody(BaseModel):
    """Which prompts to cancel."""

    job_ids: Annotated[list[Id], Field(max_length=1_000)] | None = None


class ImageForm(BaseModel):
    """A picture to be kept for LoadImage."""

    image: bytes = Field(description="PNG, JPEG or WebP.", json_schema_extra={"format": "binary"})
    overwrite: str | None = Field(default=None, description="`true` replaces one of that name.")
    type: Literal["input", "temp"] = "input"
    subfolder: Annotated[str, Field(max_length=200)] = ""


class MaskForm(ImageForm):
    """A picture whose alpha is laid onto another one."""

    original_ref: str = Field(
        description="JSON: the `filename`, `subfolder` and `type` of the other picture.",
        examples=['{"filename": "a.png", "subfolder": "", "type": "input"}'],
    )


EMPTY_IMAGE: Final[Json] = {"width": 64, "height": 64, "batch_size": 1, "color": 255}
COMFY_PROMPT: Final[Json] = {
    "prompt": {
        "1": {"class_type": "EmptyImage", "inputs": EMPTY_IMAGE},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    },
    "client_id": "me",
}
HIP_PROMPT: Final[Json] = {
    "prompt": {
        "version": 1,
        "nodes": {
            "1": {"type": "EmptyImage", "inputs": EMPTY_IMAGE},
            "2": {"type": "PreviewImage", "inputs": {"images": ["1", "IMAGE"]}},
        },
    },
    "client_id": "me",
}


class KeyForm(BaseModel):
    """The form of the login page; without a key it is a wrong key."""

    key: str = ""
