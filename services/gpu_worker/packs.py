"""What the agent says of the node packs that its engine loaded."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from libs.artifacts.base import Artifacts
from libs.artifacts.keys import schemas_key
from libs.core.errors import Unavailable
from libs.core.jsonvalue import JsonObject
from libs.events.worker import NodePack, NodePacksListed

log = structlog.get_logger(__name__)

MIME: Final = "application/json"
PAUSE_SECONDS: Final = 0.5


def packs_of(hello: JsonObject) -> tuple[NodePack, ...]:
    """Return the packs that an engine told of, those that did not load among them."""
    told = hello.get("packs")
    return tuple(NodePack.model_validate(one) for one in told) if isinstance(told, list) else ()


def types_of(hello: JsonObject) -> tuple[str, ...]:
    """Return the node types that an engine has from its packs."""
    return tuple(name for pack in packs_of(hello) for name in pack.types)


async def listing(
    worker_id: str, slot: str, packs: tuple[NodePack, ...], schemas: bytes, artifacts: Artifacts
) -> NodePacksListed:
    """Return what the house is told of the packs, once their node types can be read."""
    key = await describe(schemas, artifacts)
    return NodePacksListed(worker_id=worker_id, slot=slot, packs=packs, schemas=key)


async def describe(schemas: bytes, artifacts: Artifacts) -> str:
    """Put the packs' node types where gateway and validator find them; return the place."""
    key = schemas_key(schemas)
    while True:
        try:
            await artifacts.put(key, schemas, MIME)
        except Unavailable as error:
            log.warning("packs_not_described_yet", error=error.message)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return key
