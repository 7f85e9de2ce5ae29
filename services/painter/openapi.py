"""What Painter's API is told as: `python -m services.painter.openapi > services/painter/openapi.json`.

A running Painter serves the file and never imports this, so that it keeps no model in memory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from libs.chassis.answers import Account
from libs.core.jsonvalue import Json, JsonObject
from services.painter import answers as told
from services.painter.domain.bodies import (
    EnhanceBody,
    GenerateBody,
    InpaintBody,
    MapBody,
    SessionBody,
    UpscaleBody,
    VaryBody,
)
from services.painter.main import TITLE, routes_of
from services.painter.painter import Painter
from services.painter.routes.table import Route

REFERENCE: Final = "#/components/schemas/{model}"
DESCRIPTION: Final = (
    "A sentence in, a picture out. Every generation is a workflow of Studio's, so it opens there "
    "and gives the same pixels again. Errors are one plain sentence, with the field and the limit."
)
ONE: Final = "/api/generations/{generation_id}"
MAP: Final = "/api/control-maps/{map_id}"
MADE: Final = (400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 500, 503)
ERRORS: Final[Mapping[int, str]] = {
    400: "A field is wrong, or it is not possible; the error names field and limit.",
    401: "An API key is needed.",
    402: "The credits do not cover the price.",
    403: "The tier, the content policy or the page that asks does not allow it.",
    404: "There is no such thing, or not for this caller.",
    409: "It was cancelled.",
    413: "It is too large.",
    415: "The body or a picture is not of a kind that is taken.",
    422: "The Idempotency-Key was used for another request.",
    429: "Too many pictures today, or too many are waiting.",
    500: "The generation failed on our side.",
    503: "Studio does not answer now.",
}
HEADERS: Final[tuple[JsonObject, ...]] = (
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A retry with the same key meets the same generation.",
        "schema": {"type": "string", "maxLength": 255, "pattern": "^[ -~]*$"},
    },
    {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async` answers at once with 202; other wishes change nothing.",
        "schema": {"type": "string"},
    },
)


@dataclass(frozen=True)
class Doc:
    """What is told of one route besides its path and first sentence."""

    tag: str
    answers: Mapping[int, type[BaseModel] | str | None]
    body: type[BaseModel] | None = None
    media: str = "application/json"
    params: tuple[JsonObject, ...] = ()
    errors: tuple[int, ...] = (401, 403, 503)


def _query(name: str, words: str, **schema: Json) -> JsonObject:
    return {"name": name, "in": "query", "description": words, "schema": {**schema}}


LIMIT: Final = _query("limit", "How many at most.", type="integer", minimum=1, maximum=100)
SEARCH: Final = _query("search", "Words that must be in the text.", type="string", maxLength=200)
SMALL: Final = _query("preview", "`webp;80` or `jpeg;80`: a small file.", type="string")
PICTURE: Final[Mapping[int, str | None]] = {200: "image/png", 304: None}
WAITING: Final = HEADERS[1:]
GENERATION: Final = {200: told.Generation, 202: told.Generation}
DOCS: Final[Mapping[tuple[str, str], Doc]] = {
    ("POST", "/api/generate"): Doc("make", GENERATION, GenerateBody, params=HEADERS, errors=MADE),
    ("POST", f"{ONE}/vary"): Doc("make", GENERATION, VaryBody, params=HEADERS, errors=MADE),
    ("POST", f"{ONE}/upscale"): Doc("make", GENERATION, UpscaleBody, params=HEADERS, errors=MADE),
    ("POST", f"{ONE}/inpaint"): Doc("make", GENERATION, InpaintBody, params=HEADERS, errors=MADE),
    ("GET", "/api/generations"): Doc(
        "look",
        {200: told.Page},
        params=(
            LIMIT,
            _query("before", "What `next` of the last answer said.", type="string", format="uuid"),
            SEARCH,
            _query("favourites", "Favourites alone.", type="boolean"),
        ),
        errors=(400, 401, 403, 503),
    ),
    ("GET", ONE): Doc("look", {200: told.Generation}, errors=(401, 403, 404, 503)),
    ("DELETE", ONE): Doc("look", {204: None}, errors=(401, 403, 404, 503)),
    ("POST", f"{ONE}/cancel"): Doc(
        "make", {200: told.Generation}, errors=(400, 401, 403, 404, 413, 503)
    ),
    ("PUT", f"{ONE}/favourite"): Doc("keep", {204: None}, errors=(400, 401, 403, 404, 413, 503)),
    ("DELETE", f"{ONE}/favourite"): Doc("keep", {204: None}, errors=(400, 401, 403, 404, 413, 503)),
    ("GET", f"{ONE}/workflow"): Doc("look", {200: told.Workflow}, errors=(401, 403, 404, 503)),
    ("GET", f"{ONE}/images/{{index}}"): Doc(
        "look",
        PICTURE,
        params=(SMALL,),
        errors=(400, 401, 403, 404, 503),
    ),
    ("GET", f"{ONE}/events"): Doc("look", {200: "text/event-stream"}, errors=(401, 403, 404, 503)),
    ("POST", "/api/control-maps"): Doc(
        "make", {200: told.ControlMap, 202: told.ControlMap}, MapBody, params=WAITING, errors=MADE
    ),
    ("GET", MAP): Doc("look", {200: told.ControlMap}, errors=(401, 403, 404, 503)),
    ("GET", f"{MAP}/image"): Doc(
        "look", PICTURE, params=(SMALL,), errors=(400, 401, 403, 404, 503)
    ),
    ("GET", "/api/options"): Doc("choose", {200: told.Options}, errors=(403, 503)),
    ("GET", "/api/account"): Doc("choose", {200: Account}),
    ("GET", "/api/models"): Doc("choose", {200: told.Models}),
    ("GET", "/api/styles"): Doc("choose", {200: told.Styles}, errors=(403,)),
    ("GET", "/api/prompts"): Doc(
        "keep", {200: told.Texts}, params=(LIMIT, SEARCH), errors=(400, 401, 403, 503)
    ),
    ("DELETE", "/api/prompts"): Doc("keep", {204: None}),
    ("DELETE", "/api/prompts/{id}"): Doc("keep", {204: None}, errors=(401, 403, 404, 503)),
    ("POST", "/api/uploads"): Doc(
        "keep",
        {200: told.Upload},
        told.UploadForm,
        "multipart/form-data",
        errors=(400, 401, 403, 413, 415, 503),
    ),
    ("POST", "/api/enhance"): Doc(
        "make", {200: told.Enhanced}, EnhanceBody, errors=(400, 401, 403, 404, 413, 415, 503)
    ),
    ("POST", "/api/session"): Doc(
        "keep", {204: None}, SessionBody, errors=(400, 401, 403, 413, 415, 429, 503)
    ),
    ("DELETE", "/api/session"): Doc("keep", {204: None}, errors=(400, 403, 413, 503)),
    ("GET", "/healthz"): Doc("probes", {200: told.Alive}, errors=()),
    ("GET", "/readyz"): Doc("probes", {200: told.Ready, 503: told.Ready}, errors=()),
    ("GET", "/metrics"): Doc("probes", {200: "text/plain"}, errors=()),
    ("GET", "/openapi.json"): Doc("probes", {200: "application/json"}, errors=()),
}
# What a browser asks for is no part of the API.
UNTOLD: Final = frozenset({"/", "/{path:path}"})


@dataclass
class Document:
    """The document while it is written."""

    paths: dict[str, Json] = field(default_factory=dict)
    models: dict[str, type[BaseModel]] = field(default_factory=dict)

    def add(self, route: Route) -> None:
        """Add a route."""
        doc = DOCS[route.method, route.path]
        operation: JsonObject = {
            "summary": route.summary,
            "operationId": getattr(route.handler, "__qualname__", "").replace(".", "_"),
            "tags": [doc.tag],
            "parameters": [*_of_path(route.path), *doc.params],
            "responses": self._responses(doc),
        }
        if doc.tag == "probes":
            operation["security"] = []
        if doc.body is not None:
            operation["requestBody"] = {
                "required": True,
                "content": {doc.media: {"schema": self._reference(doc.body)}},
            }
        path = self.paths.setdefault(route.path, {})
        cast("JsonObject", path)[route.method.lower()] = operation

    def _responses(self, doc: Doc) -> JsonObject:
        found: JsonObject = {}
        for status in doc.errors:
            found[str(status)] = self._answer(ERRORS[status], told.ErrorBody)
        for status, answer in doc.answers.items():
            found[str(status)] = self._answer("It is done.", answer)
        return {status: found[status] for status in sorted(found)}

    def _answer(self, words: str, answer: type[BaseModel] | str | None) -> JsonObject:
        shown: JsonObject = {"description": words}
        if isinstance(answer, str):
            text: JsonObject = {"schema": {"type": "string"}}
            shown["content"] = {answer: {} if answer == "application/json" else text}
        elif answer is not None:
            shown["content"] = {"application/json": {"schema": self._reference(answer)}}
        return shown

    def _reference(self, model: type[BaseModel]) -> JsonObject:
        self.models[model.__name__] = model
        return {"$ref": REFERENCE.format(model=model.__name__)}


def document(routes: Iterable[Route]) -> JsonObject:
    """Return the whole document."""
    made = Document()
    for route in routes:
        if route.path not in UNTOLD:
            made.add(route)
    _, schemas = models_json_schema(
        [(model, "validation") for model in made.models.values()], ref_template=REFERENCE
    )
    bearer: JsonObject = {"type": "http", "scheme": "bearer", "description": "sk-hanzo-..."}
    cookie: JsonObject = {"type": "apiKey", "in": "cookie", "name": "studio_token"}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1", "description": DESCRIPTION},
        "paths": made.paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"key": bearer, "cookie": cookie},
        },
        "security": [{"key": []}, {"cookie": []}, {}],
    }


def page() -> str:
    """Return the committed file."""
    painter: Any = SimpleNamespace()
    return json.dumps(document(routes_of(cast("Painter", painter))), indent=1) + "\n"


def _of_path(path: str) -> list[Json]:
    schemas: dict[str, JsonObject] = {
        "generation_id": {"type": "string", "format": "uuid"},
        "map_id": {"type": "string", "format": "uuid"},
        "index": {"type": "integer", "minimum": 0, "maximum": 3},
        "id": {"type": "string"},
    }
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in schemas.items()
        if f"{{{name}}}" in path
    ]


if __name__ == "__main__":
    sys.stdout.write(page())
