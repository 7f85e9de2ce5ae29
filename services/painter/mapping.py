"""Control maps through Studio's queue: the same picture and type is the same prompt."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Final

from libs.core.errors import NotFound, Unavailable
from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import JsonObject
from services.painter import metrics
from services.painter.caller import Caller
from services.painter.domain.bodies import MapBody
from services.painter.domain.maps import (
    SeenMap,
    build_map,
    extra_data_of,
    require_network,
    seen_map,
)
from services.painter.keeping import Owner
from services.painter.knowing import Knowing
from services.painter.pictures import Pictures
from services.painter.studio import Studio
from services.painter.watching import Watching, client_id_of

# Changing this value would make every map anew.
NAMESPACE: Final = uuid.UUID("5b1e6c0a-3035-5e1b-9a53-35c0de00abcd")
# One that failed or was taken out of the history is made again under another id, so often.
ATTEMPTS_MAX: Final = 5
OVER: Final = frozenset({"failed", "cancelled"})
LOOK_SECONDS: Final = 2.0
# Between its end and its row in the history a prompt may be in neither.
MISSING_TRIES: Final = 3
MISSING_PAUSE_SECONDS: Final = 0.15


@dataclass(frozen=True)
class Mapping:
    """Every dependency is a field."""

    studio: Studio
    knowing: Knowing
    kept: Pictures
    watching: Watching

    async def make(self, caller: Caller, body: MapBody) -> SeenMap:
        """Return the map of a picture; it is made and paid for only where there is none yet."""
        owner = (await self.knowing.caller(caller)).owner
        fleet = await self.knowing.fleet(caller)
        require_network(body.control_type, fleet)
        picture = await self.kept.keep(caller, "control_image", body.control_image)
        workflow = build_map(picture, body.control_type, fleet)
        for attempt in range(ATTEMPTS_MAX):
            map_id = _id(owner, workflow, attempt)
            found = await self._found(caller, map_id)
            if found is not None and found.status not in OVER:
                return found
            if found is None:
                await self._hand_in(caller, map_id, body.control_type, workflow)
                # An id whose prompt was taken out of the history is used up: nothing is there.
                found = await self._found(caller, map_id)
                if found is not None:
                    return found
        raise Unavailable("a map failed too often", attempts=ATTEMPTS_MAX)

    async def one(self, caller: Caller, map_id: str) -> SeenMap:
        """Return a map of the caller's; NotFound for everything else."""
        found = await self._found(caller, map_id) if is_canonical_uuid(map_id) else None
        if found is None:
            raise NotFound("There is no such map.", field="map_id")
        return found

    async def settled(self, caller: Caller, first: SeenMap, seconds: float) -> SeenMap:
        """Return a map once it has ended, or as it is after so long."""
        found = first
        if not found.is_open:
            return found
        following = self.watching.following(caller, first.map_id, 1, previews=False)
        try:
            async with asyncio.timeout(seconds), following as (listener, _):
                while found.is_open:
                    await listener.next(LOOK_SECONDS)
                    found = await self.one(caller, first.map_id)
        except TimeoutError:
            return found
        return found

    async def _found(self, caller: Caller, map_id: str) -> SeenMap | None:
        for _ in range(MISSING_TRIES):
            try:
                job = await self.studio.job(caller, map_id)
            except NotFound:
                return None
            if job["status"] in ("pending", "in_progress"):
                return seen_map(map_id, job, None)
            entry = await self.studio.entry(caller, map_id)
            if entry is not None:
                return seen_map(map_id, job, entry)
            await asyncio.sleep(MISSING_PAUSE_SECONDS)
        return None

    async def _hand_in(
        self, caller: Caller, map_id: str, control_type: str, workflow: dict[str, JsonObject]
    ) -> None:
        body: JsonObject = {
            "prompt": dict(workflow),
            "prompt_id": map_id,
            "client_id": client_id_of(map_id),
            "extra_data": extra_data_of(control_type),
        }
        await self.studio.hand_in(caller, map_id, body, keyed=True)
        metrics.MAPS.labels(control_type).inc()


def _id(owner: Owner, workflow: dict[str, JsonObject], attempt: int) -> str:
    # The workflow names the picture by its content, and the network where there is one.
    nodes = json.dumps(workflow, sort_keys=True)
    return str(uuid.uuid5(NAMESPACE, f"{owner.tenant}\n{owner.user}\n{attempt}\n{nodes}"))
