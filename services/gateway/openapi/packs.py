"""Node packs, as clients are told of them."""

from __future__ import annotations

from typing import Final

from pydantic import RootModel

from services.gateway.openapi.errors import Strict
from services.gateway.openapi.words import Answer, Doc


class Pack(Strict):
    """A node pack of a worker; with faults, some of its node types may have loaded all the same."""

    worker: str
    name: str
    node_types: list[str]
    loaded: bool
    error: str


class Packs(RootModel[list[Pack]]):
    """Node packs of all workers that are up."""


PACKS: Final = Doc(
    "server",
    {200: Answer("The packs; why one has faults is told to whoever runs the house.", (Packs,))},
)
