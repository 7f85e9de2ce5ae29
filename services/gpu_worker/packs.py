"""What the agent says of the node packs that its engine loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, cast

import structlog

from libs.artifacts.base import Artifacts
from libs.artifacts.keys import pages_key, schemas_key
from libs.core.errors import Unavailable
from libs.core.jsonvalue import JsonObject
from libs.events.worker import NodePack, NodePacksListed

log = structlog.get_logger(__name__)

MIME: Final = "application/json"
PAGE_MIME: Final = "application/zip"
PAUSE_SECONDS: Final = 0.5


def packs_of(hello: JsonObject) -> tuple[NodePack, ...]:
    """Return the packs that an engine told of, those that did not load among them."""
    told = hello.get("packs")
    return tuple(NodePack.model_validate(one) for one in told) if isinstance(told, list) else ()


def types_of(hello: JsonObject) -> tuple[str, ...]:
    """Return the node types that an engine has from its packs."""
    return tuple(name for pack in packs_of(hello) for name in pack.types)


async def listing(
    worker_id: str, slot: str, hello: JsonObject, blobs: Sequence[bytes], artifacts: Artifacts
) -> NodePacksListed:
    """Return what the house is told of the packs, once their node types and pages can be read.

    `blobs` are the description of the types, and the pages in the order that the hello names.
    """
    schemas, *pages = blobs
    key = await _stored(schemas_key(schemas), schemas, MIME, artifacts)
    named = cast("list[str]", hello.get("pages", []))
    keys = {
        name: await _stored(pages_key(page), page, PAGE_MIME, artifacts)
        for name, page in zip(named, pages, strict=True)
    }
    return NodePacksListed(
        worker_id=worker_id, slot=slot, packs=packs_of(hello), schemas=key, pages=keys
    )


async def _stored(key: str, data: bytes, mime: str, artifacts: Artifacts) -> str:
    """Put a blob where the rest of the house finds it, however long that takes."""
    while True:
        try:
            await artifacts.put(key, data, mime)
        except Unavailable as error:
            log.warning("packs_not_described_yet", error=error.message)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return key
