"""The log of this process, shown to whoever runs the house, and to nobody else.

Lines name tenants and prompts of all of them, so that they are no user's business. They hold no
word of a prompt and no secret: `libs.telemetry` sees to that before a line is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from libs.core.jsonvalue import Json, JsonObject
from libs.telemetry.recent import LogLine, Recent
from services.gateway.auth import OWNER_TIER, Principal
from services.gateway.domain.frames import Frame
from services.gateway.domain.story import Owner
from services.gateway.hub import Hub

COLUMNS, ROWS = 80, 24
TELL_SECONDS: Final = 0.5
SUBSCRIBERS_MAX: Final = 100


@dataclass
class Logs:
    """What was written of late, and the sockets that want to hear what is written next."""

    recent: Recent
    hub: Hub
    _subscribers: dict[tuple[Owner, str], int] = field(default_factory=dict)

    def of(self, who: Principal) -> list[LogLine]:
        """Return the lines that the caller may see."""
        return self.recent.after() if _may_see(who) else []

    def subscribe(self, who: Principal, client_id: str, *, on: bool) -> None:
        """Tell a client of new lines from now on, or no more."""
        if not on or not _may_see(who):
            self._subscribers.pop((who.owner, client_id), None)
        elif len(self._subscribers) < SUBSCRIBERS_MAX:
            newest = self.recent.after()[-1:]
            self._subscribers[who.owner, client_id] = newest[0].number if newest else 0

    async def tell(self) -> None:
        """Tell subscribers of new lines, for ever; one that has left is forgotten."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            for (owner, client_id), told in list(self._subscribers.items()):
                if not self.hub.has(owner, client_id):
                    del self._subscribers[owner, client_id]
                elif lines := self.recent.after(told):
                    self._subscribers[owner, client_id] = lines[-1].number
                    self.hub.tell(owner, client_id, [Frame("logs", shown(lines))])


def shown(lines: Sequence[LogLine]) -> JsonObject:
    """Return lines as the editor's log panel reads them."""
    entries: list[Json] = [{"t": line.at.isoformat(), "m": line.text + "\n"} for line in lines]
    return {"entries": entries, "size": {"cols": COLUMNS, "rows": ROWS}}


def _may_see(who: Principal) -> bool:
    return who.tier == OWNER_TIER
