"""All node types of the house: its own, and those that the workers' node packs bring."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.artifacts.base import Artifacts
from libs.core.errors import Refused, StudioError, Unavailable
from libs.graph.schema import NodeSchema
from libs.graph.schema_json import from_json
from libs.nodes.registry import schemas
from libs.store.engine import reading
from libs.store.readmodels import workers

FRESH_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


class NodeTypes:
    """Reads what the workers say of their packs, at most every half second.

    A type of the house is never replaced by a pack's. While storage or PostgreSQL do not answer,
    what was read last still holds.
    """

    def __init__(self, database: AsyncEngine, artifacts: Artifacts) -> None:
        self._database = database
        self._artifacts = artifacts
        self._described: dict[str, dict[str, NodeSchema]] = {}
        self._keys: tuple[str, ...] = ()
        self._known: Mapping[str, NodeSchema] = schemas()
        self._read_at = float("-inf")

    async def known(self) -> Mapping[str, NodeSchema]:
        """Return every node type that somebody can execute, by its name."""
        if time.monotonic() - self._read_at < FRESH_SECONDS:
            return self._known
        try:
            async with reading(self._database) as connection:
                rows = workers.present(await workers.fleet(connection))
            keys = tuple(dict.fromkeys(row.schemas for row in rows if row.schemas))
            if keys != self._keys:
                await self._learn(keys)
        except Unavailable as error:
            log.warning("node_packs_unknown", error=error.message)
            return self._known
        self._read_at = time.monotonic()
        return self._known

    async def _learn(self, keys: tuple[str, ...]) -> None:
        self._described = {
            key: self._described.get(key) or await self._described_at(key) for key in keys
        }
        theirs: dict[str, NodeSchema] = {}
        for described in self._described.values():
            theirs = {**described, **theirs}
        self._known = {**theirs, **schemas()}
        self._keys = keys

    async def _described_at(self, key: str) -> dict[str, NodeSchema]:
        """Return the node types of a description; one that cannot be read is told and left out."""
        try:
            told = json.loads(await self._artifacts.get(key))
            found = [from_json(one) for one in told]
        except Unavailable:
            raise
        except (StudioError, Refused, ValueError, TypeError) as error:
            log.warning("node_packs_unreadable", key=key, reason=str(error))
            return {}
        return {schema.type: schema for schema in found}
