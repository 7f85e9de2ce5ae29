"""Where data keys come from: PostgreSQL, wrapped by the master key, or memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils import uuid7

from libs.core.errors import Misconfigured, NotFound, Poisoned, Unavailable
from libs.sealed.cipher import decrypt, encrypt, new_key
from libs.store.engine import reading, writing
from libs.store.readmodels import data_keys
from libs.store.readmodels.data_keys import DataKeyRow

CACHE_SECONDS: Final = 300.0
CACHE_MAX: Final = 10_000
TRIES_MAX: Final = 3


@dataclass(frozen=True)
class DataKey:
    """A key in the clear; never written down anywhere."""

    kid: str
    secret: bytes = field(repr=False)


class DataKeys(Protocol):
    """Keys of people: one living key per tenant and user."""

    async def current(self, tenant: str, user: str) -> DataKey:
        """Return the living key of a user; made on first use, once."""
        ...

    async def get(self, tenant: str, kid: str) -> DataKey:
        """Return a key by its id; NotFound with code `erased` when it was destroyed."""
        ...

    async def destroy(self, tenant: str, user: str) -> int:
        """Forget all keys of a user for ever; return how many there were."""
        ...


def erased(kid: str) -> NotFound:
    """Return what is raised for a key that was destroyed."""
    return NotFound("what was sealed under this key was erased", kind="erased", kid=kid)


def unknown(kid: str) -> NotFound:
    """Return what is raised for a key that never was, or is another tenant's."""
    return NotFound("there is no such data key", kid=kid)


class KeyCache:
    """Keys in the clear for a few minutes, so that PostgreSQL is not asked for each value.

    `drop` also forbids keeping what was read before it: a key that is being destroyed must not
    come back through a slow reader.
    """

    def __init__(
        self, seconds: float = CACHE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[tuple[str, ...], tuple[float, DataKey]] = OrderedDict()
        self.drops = 0

    def get(self, *name: str) -> DataKey | None:
        """Return the key of that name if it is still fresh."""
        found = self._kept.get(name)
        if found is None or found[0] <= self._clock():
            self._kept.pop(name, None)
            return None
        return found[1]

    def put(self, key: DataKey, drops_seen: int, *name: str) -> None:
        """Keep a key that was read while `drops` was `drops_seen`."""
        if drops_seen != self.drops:
            return
        self._kept[name] = (self._clock() + self._seconds, key)
        self._kept.move_to_end(name)
        while len(self._kept) > CACHE_MAX:
            self._kept.popitem(last=False)

    def drop(self) -> None:
        """Forget everything: a person is erased so seldom that nothing finer is worth it."""
        self.drops += 1
        self._kept.clear()


class PostgresKeys:
    """Data keys in PostgreSQL, each wrapped by the master key and bound to its owner."""

    def __init__(
        self, engine: AsyncEngine, master_key: bytes, cache: KeyCache | None = None
    ) -> None:
        self._engine = engine
        self._master_key = master_key
        self._cache = cache or KeyCache()

    async def current(self, tenant: str, user: str) -> DataKey:
        """Return the living key of a user; made on first use, once."""
        if key := self._cache.get("user", tenant, user):
            return key
        drops = self._cache.drops
        key = self._unwrap(await self._living(tenant, user))
        self._cache.put(key, drops, "user", tenant, user)
        return key

    async def get(self, tenant: str, kid: str) -> DataKey:
        """Return a key by its id; NotFound with code `erased` when it was destroyed."""
        if key := self._cache.get("kid", tenant, kid):
            return key
        drops = self._cache.drops
        async with reading(self._engine) as connection:
            row = await data_keys.by_kid(connection, tenant, kid)
        if row is None:
            raise unknown(kid)
        key = self._unwrap(row)
        self._cache.put(key, drops, "kid", tenant, kid)
        return key

    async def destroy(self, tenant: str, user: str) -> int:
        """Forget all keys of a user for ever; return how many there were."""
        async with writing(self._engine) as connection:
            kids = await data_keys.destroy(connection, tenant, user)
        self._cache.drop()
        return len(kids)

    async def check(self) -> None:
        """Raise Misconfigured if the master key is not the one that wrapped our keys."""
        async with reading(self._engine) as connection:
            row = await data_keys.newest(connection)
        if row is not None:
            self._unwrap(row)

    async def _living(self, tenant: str, user: str) -> DataKeyRow:
        for _ in range(TRIES_MAX):
            async with reading(self._engine) as connection:
                row = await data_keys.living(connection, tenant, user)
            if row is not None:
                return row
            kid = uuid7().hex
            wrapped = encrypt(self._master_key, new_key(), (tenant, user, kid))
            # Whoever comes second adds nothing and finds the other's key on the next look.
            async with writing(self._engine) as connection:
                await data_keys.add(
                    connection, kid=kid, tenant=tenant, user_id=user, wrapped=wrapped
                )
        raise Unavailable("the user's data key is being destroyed again and again", tenant=tenant)

    def _unwrap(self, row: DataKeyRow) -> DataKey:
        if row.wrapped is None:
            raise erased(row.kid)
        try:
            secret = decrypt(self._master_key, row.wrapped, (row.tenant, row.user_id, row.kid))
        except Poisoned as error:
            raise Misconfigured(
                "STUDIO_MASTER_KEY is not the key that the data keys in this database were "
                "wrapped with; give back the old one",
                kid=row.kid,
            ) from error
        return DataKey(row.kid, secret)


class MemoryKeys:
    """Data keys in one process, for tests."""

    def __init__(self) -> None:
        self._living: dict[tuple[str, str], DataKey] = {}
        self._all: dict[tuple[str, str], DataKey | None] = {}

    async def current(self, tenant: str, user: str) -> DataKey:
        """Return the living key of a user."""
        key = self._living.get((tenant, user))
        if key is None:
            key = DataKey(uuid7().hex, new_key())
            self._living[tenant, user] = self._all[tenant, key.kid] = key
        return key

    async def get(self, tenant: str, kid: str) -> DataKey:
        """Return a key by its id."""
        if (tenant, kid) not in self._all:
            raise unknown(kid)
        key = self._all[tenant, kid]
        if key is None:
            raise erased(kid)
        return key

    async def destroy(self, tenant: str, user: str) -> int:
        """Forget the key of a user."""
        key = self._living.pop((tenant, user), None)
        if key is None:
            return 0
        self._all[tenant, key.kid] = None
        return 1
