"""The node types as one caller sees them: the fleet's model files and the caller's uploads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from libs.graph.schema import Catalogue, NodeSchema
from services.gateway.archive import Archive
from services.gateway.domain.story import Owner

OWNERS_MAX = 1_000


@dataclass
class Catalogues:
    """Catalogues by owner, each reused for a moment; `clock` only grows, in seconds."""

    archive: Archive
    types: Callable[[], Awaitable[Mapping[str, NodeSchema]]]
    fresh_seconds: float
    clock: Callable[[], float]
    _kept: OrderedDict[Owner, tuple[float, Catalogue]] = field(default_factory=OrderedDict)

    async def of(self, owner: Owner) -> Catalogue:
        """Return the node types and what their lists offer to `owner` right now."""
        now = self.clock()
        made, catalogue = self._kept.get(owner, (0.0, None))
        if catalogue is not None and now - made < self.fresh_seconds:
            return catalogue
        catalogue = Catalogue(await self.types(), await self.archive.choices(owner))
        self._kept[owner] = (now, catalogue)
        self._kept.move_to_end(owner)
        while len(self._kept) > OWNERS_MAX:
            self._kept.popitem(last=False)
        return catalogue

    def forget(self, owner: Owner) -> None:
        """Look again next time: the owner uploaded something."""
        self._kept.pop(owner, None)
