"""Rows that are folded from events: load what a batch touches, evolve it, write what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import (
    Column,
    Executable,
    RowMapping,
    Table,
    and_,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.store.text import without_nul

Key = tuple[str | int, ...]
Batch = Sequence[Recorded[Event]]


class FoldedRow(Protocol):
    """A frozen dataclass whose fields are columns; `last_seq` is the last event it has seen."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def last_seq(self) -> int: ...


R = TypeVar("R", bound=FoldedRow)


@dataclass(frozen=True)
class Fold(Generic[R]):
    """A read model of one row per key.

    `touch` names the rows that an event belongs to; `evolve` is pure and returns a new row as it
    is after the event, or the same row if it means nothing to it. `once` are columns that are written
    with the row and never again; `evolve` meets them empty later and must not look at them.
    """

    table: Table
    row: type[R]
    touch: Callable[[Recorded[Event]], Iterable[Key]]
    evolve: Callable[[R | None, Key, Recorded[Event]], R | None]
    once: Mapping[str, object] = field(default_factory=dict)

    async def apply(self, connection: AsyncConnection, batch: Batch) -> None:
        """Bring the rows up to the end of `batch`; what a row has seen changes nothing."""
        touched = [
            (tuple(map(_keepable, key)), recorded)
            for recorded in batch
            for key in self.touch(recorded)
        ]
        if not touched:
            return
        stored = await self._load(connection, {key for key, _ in touched})
        rows = dict(stored)
        for key, recorded in touched:
            row = rows.get(key)
            if row is not None and recorded.seq <= row.last_seq:
                continue
            after = self.evolve(row, key, recorded)
            if after is not None and after is not row:
                rows[key] = _seen(after, recorded.seq)
        await self._insert(connection, [row for key, row in rows.items() if key not in stored])
        await self._update(
            connection, [row for key, row in rows.items() if row is not stored.get(key, row)]
        )

    def read(self, mapping: RowMapping | Mapping[str, object]) -> R:
        """Return the row that was stored as `mapping`."""
        return self._adapter.validate_python(dict(mapping))

    @cached_property
    def _adapter(self) -> TypeAdapter[R]:
        return TypeAdapter(self.row)

    @cached_property
    def _keys(self) -> tuple[Column[Any], ...]:
        return tuple(self.table.primary_key.columns)

    @cached_property
    def _select(self) -> Executable:
        # One statement for any number of keys, so that it is planned once.
        arrays = (bindparam(key.name, type_=ARRAY(key.type)) for key in self._keys)
        names = (key.name for key in self._keys)
        wanted = func.unnest(*arrays).table_valued(*names, name="wanted").render_derived()
        same = and_(*(key == wanted.c[key.name] for key in self._keys))
        columns = [column for column in self.table.columns if column.name not in self.once]
        return select(*columns).join(wanted, same)

    @cached_property
    def _update_statement(self) -> Executable:
        fixed = {*self.once, *(key.name for key in self._keys)}
        changed = [column.name for column in self.table.columns if column.name not in fixed]
        same = and_(*(key == bindparam(f"key_{key.name}") for key in self._keys))
        return update(self.table).where(same).values({name: bindparam(name) for name in changed})

    async def _load(self, connection: AsyncConnection, keys: set[Key]) -> dict[Key, R]:
        ordered = sorted(keys)
        parameters = {
            column.name: [key[place] for key in ordered] for place, column in enumerate(self._keys)
        }
        found = await connection.execute(self._select, parameters)
        rows = (self.read({**self.once, **mapping}) for mapping in found.mappings())
        return {self._key_of(row): row for row in rows}

    async def _insert(self, connection: AsyncConnection, rows: Sequence[R]) -> None:
        if rows:
            await connection.execute(insert(self.table), [self._values(row) for row in rows])

    async def _update(self, connection: AsyncConnection, rows: Sequence[R]) -> None:
        if not rows:
            return
        parameters = []
        for row in rows:
            values = self._values(row)
            for name in self.once:
                del values[name]
            for key in self._keys:
                values[f"key_{key.name}"] = values.pop(key.name)
            parameters.append(values)
        await connection.execute(self._update_statement, parameters)

    def _key_of(self, row: R) -> Key:
        return tuple(getattr(row, key.name) for key in self._keys)

    def _values(self, row: R) -> dict[str, Any]:
        values: dict[str, Any] = self._adapter.dump_python(row)
        return {
            name: without_nul(value) if isinstance(value, str) else value
            for name, value in values.items()
        }


def _keepable(part: str | int) -> str | int:
    return without_nul(part) if isinstance(part, str) else part


def _seen(row: R, seq: int) -> R:
    """Mark a row that `evolve` has just made; a second copy of it would only cost time."""
    object.__setattr__(row, "last_seq", seq)
    return row
