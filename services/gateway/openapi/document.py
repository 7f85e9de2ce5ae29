"""The OpenAPI document, made of the tables of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Final, Protocol, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from libs.core.jsonvalue import Json, JsonObject
from services.gateway.openapi.errors import ErrorBody
from services.gateway.openapi.words import REFERENCE, Doc, Model

DISTRIBUTION: Final = "hanzo-studio"
DESCRIPTION: Final = (
    "Bare paths speak ComfyUI. `/api` speaks HIP-35, and ComfyUI to whoever sends the header "
    "`Comfy-User` or asks for `format=comfyui`. Errors have ComfyUI's body everywhere. "
    "Execution is followed on `WS /ws?clientId=&since=`, which OpenAPI has no words for, or for one "
    "prompt by server-sent events at `/api/jobs/{prompt_id}/events`."
)
SCHEMES: Final[JsonObject] = {
    "key": {"type": "http", "scheme": "bearer", "description": "sk-hanzo-..."},
    "token": {"type": "apiKey", "in": "query", "name": "token"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "studio_token"},
}
OPEN_TAGS: Final = frozenset({"probes", "page"})
CONVERTER: Final = re.compile(r":[a-z]+}")


class Documented(Protocol):
    """A route as far as its documentation goes."""

    @property
    def method(self) -> str:
        """GET or POST."""
        ...

    @property
    def path(self) -> str:
        """The path without /api."""
        ...

    @property
    def doc(self) -> Doc:
        """What is told of it."""
        ...

    @property
    def bare(self) -> bool:
        """Whether it exists without a prefix."""
        ...

    @property
    def api(self) -> bool:
        """Whether it exists under /api."""
        ...

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        ...


def document(title: str, routes: Iterable[Documented]) -> JsonObject:
    """Return the OpenAPI document of `routes`."""
    paths: dict[str, Json] = {}
    models: set[Model] = {ErrorBody}
    for route in routes:
        models |= set(route.doc.models)
        for api in (False, True):
            if route.api if api else route.bare:
                path = CONVERTER.sub("}", f"/api{route.path}" if api else route.path)
                operations = cast("JsonObject", paths.setdefault(path, {}))
                operations[route.method.lower()] = _operation(route, path, api=api)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version(DISTRIBUTION), "description": DESCRIPTION},
        "paths": paths,
        "components": {"schemas": _schemas(models), "securitySchemes": SCHEMES},
    }


def _operation(route: Documented, path: str, *, api: bool) -> JsonObject:
    words = re.findall(r"[A-Za-z0-9_]+", path) or ["page"]
    shown: JsonObject = {
        "operationId": "_".join([route.method.lower(), *words]),
        "summary": route.summary,
        **route.doc.document(api=api),
    }
    if route.doc.tag not in OPEN_TAGS:
        # In mode `local` nobody needs a key, so that none of them is among the choices.
        choices: list[Json] = [{name: []} for name in SCHEMES]
        shown["security"] = [{}, *choices]
    return shown


def _schemas(models: Iterable[type[BaseModel]]) -> JsonObject:
    # In their order by name, so that the document is the same for the same routes.
    ordered = sorted(models, key=lambda model: model.__name__)
    _, made = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=REFERENCE
    )
    return cast("JsonObject", made["$defs"])
