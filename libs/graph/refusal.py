"""Refusals in the words of ComfyUI: one prompt-level error and the errors of single nodes."""

from __future__ import annotations

from collections.abc import Sequence

from libs.core.errors import Refused
from libs.core.jsonvalue import Json, JsonObject

CLIPPED_CHARACTERS_MAX = 300


class GraphRefused(Refused):
    """The graph cannot be accepted; `error` and `node_errors` are the body that clients read."""

    code = "invalid_prompt"

    def __init__(
        self, error: JsonObject, node_errors: JsonObject | None = None, *, status: int = 400
    ) -> None:
        super().__init__(str(error["message"]), kind=str(error["type"]), status=status)
        self.error = error
        self.node_errors: JsonObject = node_errors or {}

    @property
    def body(self) -> JsonObject:
        """Return the whole answer as a client receives it."""
        return {"error": self.error, "node_errors": self.node_errors}


def problem(kind: str, message: str, details: str, **extra_info: Json) -> JsonObject:
    """Build one error object, of a prompt or of a node."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def invalid_prompt(message: str, details: str, **extra_info: Json) -> GraphRefused:
    """Refuse a document that is no workflow at all."""
    return GraphRefused(problem("invalid_prompt", message, details, **extra_info))


def node_problems(
    class_type: str, problems: Sequence[Json], dependent_outputs: Sequence[str] = ()
) -> JsonObject:
    """Build the entry of one node in `node_errors`."""
    return {
        "errors": list(problems),
        "dependent_outputs": list(dependent_outputs),
        "class_type": class_type,
    }


def clip(text: str) -> str:
    """Shorten a text that came from outside, so that an answer stays small."""
    if len(text) <= CLIPPED_CHARACTERS_MAX:
        return text
    return f"{text[:CLIPPED_CHARACTERS_MAX]}... ({len(text)} characters)"


def shown(value: Json) -> Json:
    """Return the value as an error may echo it: short ones verbatim, long ones clipped."""
    if isinstance(value, str):
        return clip(value)
    if isinstance(value, list | dict):
        text = str(value)
        return value if len(text) <= CLIPPED_CHARACTERS_MAX else clip(text)
    return value
