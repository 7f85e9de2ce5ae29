"""What Studio says of a caller and of the fleet, reused for a moment."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from libs.core.errors import NotFound
from libs.core.jsonvalue import JsonObject
from services.painter.caller import Caller
from services.painter.domain.plan import Limits
from services.painter.domain.shelf import FOLDERS, Fleet
from services.painter.keeping import Owner
from services.painter.studio import Studio

FRESH_SECONDS: Final = 3.0
CALLERS_MAX: Final = 1_000
CHECKPOINTS: Final = "checkpoints"


@dataclass(frozen=True)
class Known:
    """Who a caller is, and what the tier allows."""

    owner: Owner
    limits: Limits
    account: JsonObject


@dataclass
class Knowing:
    """`clock` only grows, in seconds. Nothing that is told here decides what a caller may do."""

    studio: Studio
    clock: Callable[[], float]
    _callers: OrderedDict[str, tuple[float, Known]] = field(default_factory=OrderedDict)
    _fleets: OrderedDict[str, tuple[float, Fleet]] = field(default_factory=OrderedDict)

    async def caller(self, caller: Caller, *, anew: bool = False) -> Known:
        """Return who is asking; Unauthorized when Studio does not know."""
        at, known = self._callers.get(caller.name, (0.0, None))
        if known is not None and not anew and self.clock() - at < FRESH_SECONDS:
            return known
        account = cast("JsonObject", await self.studio.get(caller, "/api/account"))
        owner = Owner(str(account["tenant"]), str(account["user"]))
        known = Known(owner, Limits.of(account), account)
        self._callers[caller.name] = (self.clock(), known)
        self._callers.move_to_end(caller.name)
        while len(self._callers) > CALLERS_MAX:
            self._callers.popitem(last=False)
        return known

    async def fleet(self, caller: Caller) -> Fleet:
        """Return which model files there are."""
        at, fleet = self._fleets.get(caller.name, (0.0, None))
        if fleet is not None and self.clock() - at < FRESH_SECONDS:
            return fleet
        lists = await asyncio.gather(*(self._files(caller, folder) for folder in FOLDERS))
        sizes = await self._sizes(caller)
        fleet = Fleet(dict(zip(FOLDERS, lists, strict=True)), sizes)
        self._fleets[caller.name] = (self.clock(), fleet)
        self._fleets.move_to_end(caller.name)
        while len(self._fleets) > CALLERS_MAX:
            self._fleets.popitem(last=False)
        return fleet

    async def _files(self, caller: Caller, folder: str) -> tuple[str, ...]:
        try:
            return tuple(await self.studio.get(caller, f"/api/models/{folder}"))
        except NotFound:
            return ()

    async def _sizes(self, caller: Caller) -> dict[str, int]:
        try:
            listed = await self.studio.get(caller, f"/api/experiment/models/{CHECKPOINTS}")
        except NotFound:
            return {}
        return {str(file["name"]): int(file["size"]) for file in listed}
