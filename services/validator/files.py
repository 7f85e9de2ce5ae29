"""Which files of a user a graph may name: uploads, and what was made and released."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.graph.uploads import annotated
from libs.store.engine import reading
from libs.store.readmodels import outputs, uploads


@dataclass(frozen=True)
class PostgresFiles:
    """The user's files as the read models know them."""

    database: AsyncEngine

    async def known(self, tenant: str, user: str, asked: Iterable[str]) -> frozenset[str]:
        """Return the user's inputs, and of the files `asked` for, `name [output]`, those that are."""
        async with reading(self.database) as connection:
            known = set(await uploads.names(connection, tenant, user, "input"))
            for name in asked:
                if name not in known and await _made(connection, tenant, user, name):
                    known.add(name)
        return frozenset(known)


async def _made(connection: AsyncConnection, tenant: str, user: str, name: str) -> bool:
    plain, kind = annotated(name)
    subfolder, _, filename = plain.rpartition("/")
    where = (tenant, user, kind, subfolder, filename)
    if kind == "input":
        return False
    if await outputs.find(connection, *where) is not None:
        return True
    return kind == "temp" and await uploads.find(connection, *where) is not None
