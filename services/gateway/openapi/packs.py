"""Node packs, as clients are told of them."""

from __future__ import annotations

from typing import Final

from pydantic import RootModel

from libs.chassis.answers import Strict
from services.gateway.openapi.answers import Names
from services.gateway.openapi.words import Answer, Doc, Param


class Pack(Strict):
    """A node pack of a worker; with faults, some of its node types may have loaded all the same."""

    worker: str
    name: str
    node_types: list[str]
    loaded: bool
    error: str


class Packs(RootModel[list[Pack]]):
    """Node packs of all workers that are up."""


EXTENSIONS: Final = Doc(
    "editor",
    {200: Answer("Paths of scripts that the editor loads.", (Names,), example=[])},
)
EXTENSION: Final = Doc(
    "editor",
    {
        200: Answer(
            "The file, of the kind that its name tells.",
            media=("text/javascript", "application/octet-stream"),
        ),
        304: Answer("The bytes are those that `If-None-Match` names."),
    },
    (
        Param("pack", "Name of a node pack.", place="path"),
        Param("path", "Name of a file of its page.", place="path"),
    ),
    errors=(401, 403, 404, 503),
)
PACKS: Final = Doc(
    "server",
    {200: Answer("The packs; why one has faults is told to whoever runs the house.", (Packs,))},
)
