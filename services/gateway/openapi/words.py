"""The words that routes are described in, and how they become OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import BaseModel

from libs.core.jsonvalue import Json, JsonObject
from services.gateway.openapi.errors import ERRORS, ErrorBody

REFERENCE: Final = "#/components/schemas/{model}"
JSON: Final = "application/json"
RETRYING: Final = frozenset({429, 503})
RETRY_AFTER: Final[JsonObject] = {
    "Retry-After": {
        "description": "Seconds after which asking again makes sense.",
        "schema": {"type": "integer", "minimum": 0},
    }
}

Model = type[BaseModel]


@dataclass(frozen=True)
class Param:
    """One parameter of a route; `schema` is plain JSON Schema."""

    name: str
    description: str
    schema: JsonObject = field(default_factory=lambda: {"type": "string"})
    place: Literal["query", "path", "header"] = "query"
    required: bool = False
    example: Json = None

    def document(self) -> JsonObject:
        """Return it as OpenAPI writes parameters."""
        shown: JsonObject = {
            "name": self.name,
            "in": self.place,
            "description": self.description,
            "required": self.required or self.place == "path",
            "schema": self.schema,
        }
        return shown if self.example is None else {**shown, "example": self.example}


@dataclass(frozen=True)
class Answer:
    """What one status carries: a model each for the dialects, or bytes of some media types.

    Without `models` and `media` the answer has no body.
    """

    description: str
    models: tuple[Model, ...] = ()
    hip35: tuple[Model, ...] = ()
    media: tuple[str, ...] = ()
    headers: JsonObject = field(default_factory=dict)
    example: Json = None

    def document(self, *, api: bool) -> JsonObject:
        """Return it as OpenAPI writes responses; `/api` may answer in HIP-35's shapes too."""
        shown: JsonObject = {"description": self.description}
        if self.headers:
            shown["headers"] = self.headers
        models = (*self.hip35, *self.models) if api else self.models
        if models:
            shown["content"] = {JSON: _content(models, self.example)}
        elif self.media:
            bytes_of: JsonObject = {"schema": {"type": "string", "format": "binary"}}
            shown["content"] = dict.fromkeys(self.media, bytes_of)
        return shown


@dataclass(frozen=True)
class Body:
    """What a request may carry."""

    model: Model
    media: str = JSON
    required: bool = False
    examples: Mapping[str, Json] = field(default_factory=dict)

    def document(self) -> JsonObject:
        """Return it as OpenAPI writes request bodies."""
        content = _content((self.model,), None)
        if self.examples:
            content["examples"] = {name: {"value": value} for name, value in self.examples.items()}
        return {"required": self.required, "content": {self.media: content}}


@dataclass(frozen=True)
class Doc:
    """All that clients are told of a route besides its path and first sentence."""

    tag: str
    answers: Mapping[int, Answer]
    params: tuple[Param, ...] = ()
    api_params: tuple[Param, ...] = ()
    body: Body | None = None
    errors: tuple[int, ...] = (401, 403, 503)
    api_errors: tuple[int, ...] = ()

    def document(self, *, api: bool) -> JsonObject:
        """Return the operation, without its name."""
        params = (*self.params, *(self.api_params if api else ()))
        failing = (*self.errors, *(self.api_errors if api else ()))
        answers = {**{status: failure(status) for status in failing}, **self.answers}
        shown: JsonObject = {
            "tags": [self.tag],
            "parameters": [param.document() for param in params],
            "responses": {
                str(status): answers[status].document(api=api) for status in sorted(answers)
            },
        }
        return shown if self.body is None else {**shown, "requestBody": self.body.document()}

    @property
    def models(self) -> tuple[Model, ...]:
        """Return every model that the operation refers to."""
        found = [m for answer in self.answers.values() for m in (*answer.models, *answer.hip35)]
        return (*found, ErrorBody, *((self.body.model,) if self.body else ()))


def failure(status: int, *also: Model) -> Answer:
    """Return the answer of an error, in ComfyUI's shape or one of `also`."""
    return Answer(
        ERRORS[status],
        models=(ErrorBody, *also),
        headers=RETRY_AFTER if status in RETRYING else {},
    )


def _content(models: tuple[Model, ...], example: Json) -> JsonObject:
    links: list[Json] = [{"$ref": REFERENCE.format(model=m.__name__)} for m in models]
    schema: Json = links[0] if len(links) == 1 else {"anyOf": links}
    return {"schema": schema} if example is None else {"schema": schema, "example": example}
