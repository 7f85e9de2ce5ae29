"""The user's files as the read models know them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.store.engine import reading
from libs.store.readmodels import outputs, uploads
from services.gpu_worker.files import Stored


@dataclass(frozen=True)
class PostgresShelf:
    """A `Shelf` in PostgreSQL; uploads are sealed, released outputs are not."""

    database: AsyncEngine

    async def find(self, tenant: str, user: str, kind: str, name: str) -> Stored | None:
        """Return where the file lies."""
        subfolder, _, plain = name.rpartition("/")
        async with reading(self.database) as connection:
            if kind != "input":
                made = await outputs.find(connection, tenant, user, kind, subfolder, plain)
                if made is not None and made.artifact is not None:
                    return Stored(made.artifact, "", made.sha256)
            if kind != "output":
                given = await uploads.find(connection, tenant, user, kind, subfolder, plain)
                if given is not None:
                    return Stored(given.artifact, given.kid, given.digest)
        return None
