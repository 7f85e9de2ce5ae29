"""A user's settings and saved files, sealed under the user's key in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.core.errors import NotFound, Refused
from libs.core.jsonvalue import Json, JsonObject
from libs.sealed.base import Vault
from libs.store.engine import reading, writing
from libs.store.readmodels import user_documents
from libs.store.readmodels.user_documents import DocumentRow, Listed, Place, Shelf
from services.gateway.auth import Principal
from services.gateway.errors import TooLarge

FILE_BYTES_MAX: Final = 5 * 1024 * 1024
SETTING_BYTES_MAX: Final = 256 * 1024
COUNT_MAX: Final[Mapping[Shelf, int]] = {"file": 1_000, "setting": 1_000, "asset": 5_000}
BYTES_MAX: Final[Mapping[Shelf, int]] = {
    "file": 100 * 1024 * 1024,
    "setting": 2 * 1024 * 1024,
    "asset": 10 * 1024 * 1024,
}


@dataclass(frozen=True)
class Documents:
    """Every dependency is a field."""

    database: AsyncEngine
    vault: Vault
    now: Callable[[], datetime]

    async def settings(self, who: Principal) -> JsonObject:
        """Return all settings of a user by their ids."""
        async with reading(self.database) as connection:
            rows = await user_documents.everything(connection, _shelf(who, "setting"))
        found = {row.name: await self._opened(who, row) for row in rows}
        return {name: _value(data) for name, data in found.items() if data is not None}

    async def setting(self, who: Principal, name: str) -> Json:
        """Return a setting, or nothing."""
        async with reading(self.database) as connection:
            row = await user_documents.find(connection, _shelf(who, "setting"), name)
        data = await self._opened(who, row) if row else None
        return None if data is None else _value(data)

    async def set(self, who: Principal, settings: JsonObject) -> None:
        """Keep settings; others stay as they are."""
        if len(settings) > COUNT_MAX["setting"]:
            raise _no_room("setting")
        clear = {name: json.dumps(value).encode() for name, value in settings.items()}
        if max(map(len, clear.values()), default=0) > SETTING_BYTES_MAX:
            raise TooLarge("setting", SETTING_BYTES_MAX)
        rows = [await self._sealed(who, name, data) for name, data in clear.items()]
        place = _shelf(who, "setting")
        async with writing(self.database) as connection:
            await user_documents.hold(connection, place)
            await _require_room(connection, place, rows)
            for row in rows:
                await user_documents.put(connection, place, row)

    async def files(self, who: Principal) -> list[Listed]:
        """Return all saved files of a user, by name."""
        async with reading(self.database) as connection:
            return await user_documents.listing(connection, _shelf(who, "file"))

    async def read(self, who: Principal, name: str, shelf: Shelf = "file") -> bytes:
        """Return a saved file."""
        async with reading(self.database) as connection:
            row = await user_documents.find(connection, _shelf(who, shelf), name)
        data = await self._opened(who, row) if row else None
        if data is None:
            raise _missing()
        return data

    async def save(
        self, who: Principal, name: str, data: bytes, *, overwrite: bool, shelf: Shelf = "file"
    ) -> Listed:
        """Keep a file; refused with 409 when its name is taken and must stay."""
        row = await self._sealed(who, name, data)
        place = _shelf(who, shelf)
        async with writing(self.database) as connection:
            await user_documents.hold(connection, place)
            there = await _listed(connection, place)
            if name in there and not overwrite:
                raise _taken(name)
            _require_free(name, there)
            await _require_room(connection, place, [row])
            await user_documents.put(connection, place, row)
        created = there[name].created if name in there else row.created
        return Listed(name, row.size_bytes, created, row.modified)

    async def move(self, who: Principal, name: str, to: str, *, overwrite: bool) -> Listed:
        """Give a file another name; refused with 409 when that is taken and must stay."""
        place = _shelf(who, "file")
        async with writing(self.database) as connection:
            await user_documents.hold(connection, place)
            there = await _listed(connection, place)
            moved = there.pop(name, None)
            if moved is None:
                raise _missing()
            if to in there and not overwrite:
                raise _taken(to)
            _require_free(to, there)
            if to in there:
                await user_documents.remove(connection, place, to)
            await user_documents.rename(connection, place, name, to)
        return Listed(to, moved.size_bytes, moved.created, moved.modified)

    async def remove(self, who: Principal, name: str, shelf: Shelf = "file") -> None:
        """Take a file away."""
        place = _shelf(who, shelf)
        async with writing(self.database) as connection:
            await user_documents.hold(connection, place)
            if not await user_documents.remove(connection, place, name):
                raise _missing()

    async def _sealed(self, who: Principal, name: str, data: bytes) -> DocumentRow:
        kid, ciphertext = await self.vault.seal_bytes(who.tenant, who.user_id, data)
        now = self.now()
        return DocumentRow(name, kid, ciphertext, len(data), now, now)

    async def _opened(self, who: Principal, row: DocumentRow) -> bytes | None:
        try:
            return await self.vault.open_bytes(who.tenant, row.kid, row.ciphertext)
        except NotFound:
            # Erased in this very moment.
            return None


def _shelf(who: Principal, shelf: Shelf) -> Place:
    return Place(who.tenant, who.user_id, shelf)


async def _listed(connection: AsyncConnection, place: Place) -> dict[str, Listed]:
    return {item.name: item for item in await user_documents.listing(connection, place)}


async def _require_room(connection: AsyncConnection, place: Place, rows: list[DocumentRow]) -> None:
    sizes = {name: item.size_bytes for name, item in (await _listed(connection, place)).items()}
    sizes |= {row.name: row.size_bytes for row in rows}
    if len(sizes) > COUNT_MAX[place.shelf] or sum(sizes.values()) > BYTES_MAX[place.shelf]:
        raise _no_room(place.shelf)


def _require_free(name: str, there: Mapping[str, Listed]) -> None:
    """Refuse a file where a folder is, and a folder where a file is, as a disk would."""
    folders = {name[:place] for place, character in enumerate(name) if character == "/"}
    if folders & set(there) or any(other.startswith(f"{name}/") for other in there):
        raise _taken(name)


def _no_room(shelf: Shelf) -> Refused:
    count_max, bytes_max = COUNT_MAX[shelf], BYTES_MAX[shelf]
    return Refused(
        f"No more than {count_max} of these, and {bytes_max} bytes in all, are kept for a user",
        kind="too_many_documents",
        status=413,
        field=shelf,
        limit=count_max,
        bytes_max=bytes_max,
    )


def _taken(name: str) -> Refused:
    return Refused("This name is taken", kind="name_taken", status=409, field="file", received=name)


def _missing() -> NotFound:
    return NotFound("There is no such file", field="file")


def _value(data: bytes) -> Json:
    return cast("Json", json.loads(data))
