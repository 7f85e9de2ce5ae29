"""The workflows that a user keeps, with their versions, sealed under the user's key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils import uuid7

from libs.core.errors import NotFound, Refused
from libs.core.jsonvalue import JsonObject
from libs.sealed.base import Vault
from libs.store.engine import reading, writing
from libs.store.readmodels import workflow_versions
from libs.store.readmodels.workflow_versions import Drawer, Page, VersionFacts, VersionRow
from services.gateway.auth import Principal

COUNT_MAX: Final = 1_000
BYTES_MAX: Final = 256 * 1024 * 1024
VERSIONS_MAX: Final = 100


@dataclass(frozen=True)
class Change:
    """What a new version has of its own; None leaves what was there."""

    name: str | None = None
    workflow: JsonObject | None = None


@dataclass(frozen=True)
class SavedWorkflow:
    """A version in the clear."""

    facts: VersionFacts
    workflow: JsonObject


@dataclass(frozen=True)
class SavedWorkflows:
    """Every dependency is a field."""

    database: AsyncEngine
    vault: Vault
    now: Callable[[], datetime]

    async def listing(self, who: Principal, search: str, offset: int, limit: int) -> Page:
        """Return workflows, the last changed first."""
        async with reading(self.database) as connection:
            return await workflow_versions.listing(connection, _drawer(who), search, offset, limit)

    async def create(self, who: Principal, name: str, workflow: JsonObject) -> VersionFacts:
        """Keep a new workflow as its version 1."""
        kid, ciphertext, size = await self._sealed(who, workflow)
        now = self.now()
        row = VersionRow(str(uuid7()), 1, name, size, now, now, kid, ciphertext)
        async with writing(self.database) as connection:
            await workflow_versions.hold(connection, _drawer(who))
            await _add(connection, _drawer(who), row)
        return row

    async def find(
        self, who: Principal, workflow_id: str, version: int | None = None
    ) -> VersionRow:
        """Return a version as it is kept, the newest if none is named; NotFound without."""
        async with reading(self.database) as connection:
            row = await workflow_versions.find(connection, _drawer(who), workflow_id, version)
        return _there(row, version)

    async def read(
        self, who: Principal, workflow_id: str, version: int | None = None
    ) -> SavedWorkflow:
        """Return a version, the newest if none is named."""
        row = await self.find(who, workflow_id, version)
        data = await self.vault.open_bytes(who.tenant, row.kid, row.ciphertext)
        return SavedWorkflow(row, cast("JsonObject", json.loads(data)))

    async def versions(self, who: Principal, workflow_id: str) -> list[VersionFacts]:
        """Return the versions of a workflow that are kept, the newest first."""
        async with reading(self.database) as connection:
            found = await workflow_versions.versions(connection, _drawer(who), workflow_id)
        if not found:
            raise _missing()
        return found

    async def change(
        self, who: Principal, workflow_id: str, change: Change, based_on: int | None
    ) -> VersionFacts:
        """Keep a new version; refused with 412 unless the newest is the one it is based on."""
        sealed = None if change.workflow is None else await self._sealed(who, change.workflow)
        drawer = _drawer(who)
        async with writing(self.database) as connection:
            newest = await _newest(connection, drawer, workflow_id, based_on)
            row = self._following(newest, newest)
            if change.name is not None:
                row = replace(row, name=change.name)
            if sealed is not None:
                kid, ciphertext, size = sealed
                row = replace(row, kid=kid, ciphertext=ciphertext, size_bytes=size)
            await _add(connection, drawer, row)
        return row

    async def restore(
        self, who: Principal, workflow_id: str, version: int, based_on: int | None
    ) -> VersionFacts:
        """Keep an older version once more, as the newest."""
        drawer = _drawer(who)
        async with writing(self.database) as connection:
            newest = await _newest(connection, drawer, workflow_id, based_on)
            older = await workflow_versions.find(connection, drawer, workflow_id, version)
            row = self._following(newest, _there(older, version))
            await _add(connection, drawer, row)
        return row

    async def remove(self, who: Principal, workflow_id: str, based_on: int | None) -> None:
        """Take a workflow away with all its versions."""
        async with writing(self.database) as connection:
            await _newest(connection, _drawer(who), workflow_id, based_on)
            await workflow_versions.remove(connection, _drawer(who), workflow_id)

    def _following(self, newest: VersionRow, source: VersionRow) -> VersionRow:
        return replace(source, version=newest.version + 1, modified=self.now())

    async def _sealed(self, who: Principal, workflow: JsonObject) -> tuple[str, bytes, int]:
        data = json.dumps(workflow, separators=(",", ":"), ensure_ascii=False).encode()
        kid, ciphertext = await self.vault.seal_bytes(who.tenant, who.user_id, data)
        return kid, ciphertext, len(data)


async def _newest(
    connection: AsyncConnection, drawer: Drawer, workflow_id: str, based_on: int | None
) -> VersionRow:
    await workflow_versions.hold(connection, drawer)
    newest = _there(await workflow_versions.find(connection, drawer, workflow_id))
    if based_on not in (None, newest.version):
        raise Refused(
            "The workflow was changed meanwhile; read it again",
            kind="version_mismatch",
            status=412,
            field="If-Match",
            received=based_on,
            version=newest.version,
        )
    return newest


async def _add(connection: AsyncConnection, drawer: Drawer, row: VersionRow) -> None:
    """Keep a version; the oldest go when there are too many of one workflow."""
    before = row.version - VERSIONS_MAX + 1
    await workflow_versions.remove(connection, drawer, row.workflow_id, before=before)
    await workflow_versions.add(connection, drawer, row)
    room = await workflow_versions.room(connection, drawer)
    if room.workflows > COUNT_MAX:
        raise _full(f"No more than {COUNT_MAX} workflows are kept for a user", COUNT_MAX)
    if room.size_bytes > BYTES_MAX:
        text = f"The workflows of a user, with all versions, have at most {BYTES_MAX} bytes"
        raise _full(text, BYTES_MAX)


def _full(message: str, limit: int) -> Refused:
    return Refused(message, kind="too_many_workflows", status=413, field="workflow", limit=limit)


def _there(row: VersionRow | None, version: int | None = None) -> VersionRow:
    if row is None:
        raise _missing() if version is None else NotFound("It has no such version", field="version")
    return row


def _missing() -> NotFound:
    return NotFound("There is no such workflow", field="id")


def _drawer(who: Principal) -> Drawer:
    return Drawer(who.tenant, who.user_id)
