"""What Painter keeps itself: favourites, and the texts of a user, sealed under the user's key."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.core.errors import NotFound, Poisoned, StudioError
from libs.core.jsonvalue import JsonObject
from libs.events.envelope import rfc3339
from libs.sealed.base import Vault
from libs.store.engine import reading, writing
from libs.store.readmodels import painter
from libs.store.readmodels.painter import TextRow

FAVOURITES_MAX: Final = 1_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Owner:
    """Whose everything is."""

    tenant: str
    user: str


@dataclass(frozen=True)
class Keeping:
    """Every dependency is a field."""

    database: AsyncEngine
    vault: Vault
    now: Callable[[], datetime]
    texts_max: int

    async def favour(self, owner: Owner, generation_id: str, *, favourite: bool) -> None:
        """Make a generation a favourite, or one like all others."""
        async with writing(self.database) as connection:
            if favourite:
                await painter.favour(
                    connection, owner.tenant, owner.user, generation_id, self.now()
                )
            else:
                await painter.unfavour(connection, owner.tenant, owner.user, generation_id)

    async def favourites(self, owner: Owner, among: Sequence[str]) -> frozenset[str]:
        """Return which of some generations are favourites."""
        if not among:
            return frozenset()
        async with reading(self.database) as connection:
            return await painter.favourites(connection, owner.tenant, owner.user, among)

    async def all_favourites(self, owner: Owner) -> list[str]:
        """Return the newest favourites."""
        async with reading(self.database) as connection:
            return await painter.favourite_ids(connection, owner.tenant, owner.user, FAVOURITES_MAX)

    async def remember(self, owner: Owner, prompt: str, negative: str) -> None:
        """Remember a text; a picture is never held up by a failure to."""
        if not self.texts_max:
            return
        try:
            await self._remember(owner, prompt, negative)
        except StudioError as error:
            log.warning("text_not_remembered", error=error.message)

    async def texts(self, owner: Owner, search: str, rows_max: int) -> list[JsonObject]:
        """Return the texts of a user, newest first, that hold `search`."""
        async with reading(self.database) as connection:
            rows = await painter.texts(connection, owner.tenant, owner.user, self.texts_max)
        found: list[JsonObject] = []
        for row in rows:
            text = await self._opened(owner, row)
            words = "\n".join(str(value) for value in text.values()).casefold()
            if text and search.casefold() in words and len(found) < rows_max:
                facts: JsonObject = {"times": row.times, "used": rfc3339(row.used)}
                found.append({"id": row.digest, **text, **facts})
        return found

    async def forget(self, owner: Owner, digest: str | None = None) -> None:
        """Take one text away, or all of them."""
        async with writing(self.database) as connection:
            gone = await painter.forget(connection, owner.tenant, owner.user, digest)
        if digest is not None and not gone:
            raise NotFound("There is no such text.", field="id")

    async def _remember(self, owner: Owner, prompt: str, negative: str) -> None:
        clear = json.dumps({"prompt": prompt, "negative_prompt": negative}).encode()
        digest = await self.vault.mac(owner.tenant, owner.user, clear)
        kid, ciphertext = await self.vault.seal_bytes(owner.tenant, owner.user, clear)
        row = TextRow(digest, kid, ciphertext, 1, self.now())
        async with writing(self.database) as connection:
            await painter.remember(connection, owner.tenant, owner.user, row, self.texts_max)

    async def _opened(self, owner: Owner, row: TextRow) -> JsonObject:
        try:
            clear = await self.vault.open_bytes(owner.tenant, row.kid, row.ciphertext)
        except (NotFound, Poisoned):
            # Erased in this very moment, or sealed under a master key that is gone.
            return {}
        text: JsonObject = json.loads(clear)
        return text
