"""Which model files the fleet holds, as the gateway and the validator need to know it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.core.errors import Unavailable
from libs.store.engine import reading
from libs.store.readmodels import workers

FRESH_SECONDS = 0.5
BYTES_PER_MIB = 1024 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FleetWeights:
    """Names by folder, as lists of choice show them, and sizes in MiB by `folder/name`."""

    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sizes_mib: Mapping[str, int] = field(default_factory=dict)


class Fleet:
    """Reads the workers' own lists, at most every half second.

    While PostgreSQL does not answer, the last list that was read still holds: prompts go on
    being accepted.
    """

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._known = FleetWeights()
        self._read_at = float("-inf")

    async def weights(self) -> FleetWeights:
        """Return what the fleet holds now."""
        if time.monotonic() - self._read_at < FRESH_SECONDS:
            return self._known
        try:
            async with reading(self._database) as connection:
                listed = await workers.weights_of_fleet(connection)
        except Unavailable as error:
            log.warning("fleet_unknown", error=error.message)
            return self._known
        self._known = FleetWeights(
            choices={
                folder: tuple(sorted({file.name for file in files}))
                for folder, files in listed.items()
            },
            sizes_mib={
                f"{folder}/{file.name}": max(1, file.size_bytes // BYTES_PER_MIB)
                for folder, files in listed.items()
                for file in files
            },
        )
        self._read_at = time.monotonic()
        return self._known
