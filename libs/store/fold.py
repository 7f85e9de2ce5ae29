"""Rows that are folded from events: what a batch touches, how it evolves, how rows come and go.

Rows travel between here and PostgreSQL as JSON, all rows of a table in one parameter, so that a
batch costs a fixed number of statements and no work per column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import Column, RowMapping, Table
from sqlalchemy.dialects import postgresql

from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.store.text import to_json, without_nul

if TYPE_CHECKING:
    from dataclasses import replace
else:

    def replace(row: Any, /, **changes: Any) -> Any:
        """Do what dataclasses.replace does, for rows whose fields are all their state.

        A row of many columns is replaced with each event about it, and a fresh `__init__` would
        set every one of them by name.
        """
        new = object.__new__(type(row))
        new.__dict__.update(row.__dict__, **changes)
        return new


__all__ = ["Batch", "Fold", "FoldedRow", "Key", "Touched", "replace"]

Key = tuple[str | int, ...]
Batch = Sequence[Recorded[Event]]
Touched = Sequence[tuple[Key, Recorded[Event]]]
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


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

    def touched(self, batch: Batch) -> Touched:
        """Return the keys that a batch touches, with the events that do."""
        return [
            (tuple(map(_keepable, key)), recorded)
            for recorded in batch
            for key in self.touch(recorded)
        ]

    def after(self, touched: Touched, stored: str) -> list[R]:
        """Return the rows that change, as they are after a batch; `stored` is what is there.

        What a row has seen already changes nothing.
        """
        before = {self._key_of(row): row for row in self._many.validate_json(stored)}
        rows = dict(before)
        for key, recorded in touched:
            row = rows.get(key)
            if row is not None and recorded.seq <= row.last_seq:
                continue
            changed = self.evolve(row, key, recorded)
            if changed is not None and changed is not row:
                rows[key] = _seen(changed, recorded.seq)
        return [row for key, row in rows.items() if row is not before.get(key)]

    def keys_json(self, touched: Touched) -> str:
        """Return the keys to be loaded, for the parameter of `load_sql`."""
        names = self._key_names
        return to_json([dict(zip(names, key, strict=True)) for key in {key for key, _ in touched}])

    def rows_json(self, rows: Sequence[R]) -> str:
        """Return rows for the parameter of `save_sql`."""
        return to_json(rows)

    def load_sql(self, parameter: int) -> str:
        """Return an expression for the stored rows of some keys, as one JSON text."""
        columns = ", ".join(f'"{key.name}" {_type_of(key)}' for key in self._keys)
        same = " AND ".join(f't."{name}" = w."{name}"' for name in self._key_names)
        once = to_json(dict(self.once)).replace("'", "''")
        # The offset keeps PostgreSQL from reading whole tables: it takes the few keys for a hundred.
        return f"""(SELECT coalesce(jsonb_agg(to_jsonb(t) || '{once}'), '[]')::text
            FROM jsonb_to_recordset(${parameter}::text::jsonb) AS w({columns})
            CROSS JOIN LATERAL (
                SELECT * FROM "{self.table.name}" AS t WHERE {same} OFFSET 0
            ) AS t)"""  # noqa: S608  Names of our own tables.

    def save_sql(self, parameter: int) -> str:
        """Return a statement that writes rows over what is there of them."""
        keys = ", ".join(f'"{name}"' for name in self._key_names)
        fixed = {*self.once, *self._key_names}
        names = [column.name for column in self.table.columns if column.name not in fixed]
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in names)
        return f"""{insert_sql(self.table, parameter)}
            ON CONFLICT ({keys}) DO UPDATE SET {changes}"""

    def read(self, mapping: RowMapping | Mapping[str, object]) -> R:
        """Return the row that was stored as `mapping`."""
        return self._adapter.validate_python(dict(mapping))

    @cached_property
    def _adapter(self) -> TypeAdapter[R]:
        return TypeAdapter(self.row)

    @cached_property
    def _many(self) -> TypeAdapter[list[R]]:
        return TypeAdapter(list[self.row])  # type: ignore[name-defined]

    @cached_property
    def _keys(self) -> tuple[Column[Any], ...]:
        return tuple(self.table.primary_key.columns)

    @cached_property
    def _key_names(self) -> tuple[str, ...]:
        return tuple(str(key.name) for key in self._keys)

    def _key_of(self, row: R) -> Key:
        return tuple(getattr(row, name) for name in self._key_names)


def insert_sql(table: Table, parameter: int) -> str:
    """Return a statement that inserts the rows of a JSON parameter."""
    return f"""INSERT INTO "{table.name}" SELECT *
            FROM jsonb_populate_recordset(NULL::"{table.name}", ${parameter}::text::jsonb)"""  # noqa: S608  Names of our own tables.


def _type_of(column: Column[Any]) -> str:
    return column.type.compile(DIALECT)


def _keepable(part: str | int) -> str | int:
    return without_nul(part) if isinstance(part, str) else part


def _seen(row: R, seq: int) -> R:
    """Mark a row that `evolve` has just made; a second copy of it would only cost time."""
    object.__setattr__(row, "last_seq", seq)
    return row
