"""Digests of tables, so that a rebuilt read model can be compared with the living one."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.readmodels.accounts import BALANCES, GRANTS, HOLDS
from libs.store.readmodels.ledger import LEDGER_ENTRIES
from libs.store.readmodels.outputs import OUTPUTS
from libs.store.readmodels.prompts import PROMPTS
from libs.store.readmodels.workers import WORKERS

# The tables that are pure functions of the event log.
REBUILDABLE: Final[tuple[Table, ...]] = (
    PROMPTS,
    OUTPUTS,
    LEDGER_ENTRIES,
    BALANCES,
    HOLDS,
    GRANTS,
    WORKERS,
)
# So many rows are digested together, and then their digests; no aggregate grows with the table.
ROWS_AT_ONCE: Final = 10_000


async def digest(connection: AsyncConnection, table: Table, *, schema: str = "") -> str:
    """Return a digest of all rows of a table in the order of its key."""
    order = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    # Each row is digested first, so that no aggregate grows with the width of the rows.
    statement = f"""
        SELECT encode(sha256(coalesce(string_agg(part, ''::bytea ORDER BY number), '')), 'hex')
        FROM (
            SELECT place / {ROWS_AT_ONCE} AS number,
                   sha256(string_agg(line, ''::bytea ORDER BY place)) AS part
            FROM (
                SELECT sha256(convert_to({_row(table)}::text, 'UTF8')) AS line,
                       row_number() OVER (ORDER BY {order}) AS place
                FROM {_name(table, schema)}
            ) AS lines
            GROUP BY place / {ROWS_AT_ONCE}
        ) AS parts
    """  # noqa: S608  Names of our own tables.
    found: str = (await connection.execute(text(statement))).scalar_one()
    return found


async def digests(
    connection: AsyncConnection, tables: tuple[Table, ...] = REBUILDABLE, *, schema: str = ""
) -> dict[str, str]:
    """Return a digest of each read model, to compare one schema with another."""
    return {table.name: await digest(connection, table, schema=schema) for table in tables}


async def first_unlike(
    connection: AsyncConnection, table: Table, one: str, other: str
) -> tuple[dict[str, object], list[str]]:
    """Return the key of the first row that differs between two schemas, and its columns that do.

    No columns are named for a row that only one of the two has.
    """
    keys = [column.name for column in table.primary_key.columns]
    names = [column.name for column in table.columns if column.name not in keys]
    same = " AND ".join(f'a."{key}" = b."{key}"' for key in keys)
    either = ", ".join(f'coalesce(a."{key}", b."{key}") AS "{key}"' for key in keys)
    unlike = ", ".join(f'a."{name}" IS DISTINCT FROM b."{name}"' for name in names)
    order = ", ".join(f'"{key}"' for key in keys)
    statement = f"""
        SELECT {either}, a."{keys[0]}" IS NOT NULL AND b."{keys[0]}" IS NOT NULL AS present,
               ARRAY[{unlike}] AS unlike
        FROM {_name(table, one)} AS a FULL JOIN {_name(table, other)} AS b ON {same}
        WHERE {_row(table, "a")}::text IS DISTINCT FROM {_row(table, "b")}::text
        ORDER BY {order} LIMIT 1
    """  # noqa: S608  Names of our own tables.
    found = (await connection.execute(text(statement))).mappings().one_or_none()
    if found is None:
        return {}, []
    marks = found["unlike"] if found["present"] else ()
    changed = [name for name, differs in zip(names, marks, strict=False) if differs]
    return {key: found[key] for key in keys}, changed


def _row(table: Table, alias: str = "") -> str:
    dot = f"{alias}." if alias else ""
    return "ROW(" + ", ".join(f'{dot}"{column.name}"' for column in table.columns) + ")"


def _name(table: Table, schema: str) -> str:
    return f'"{schema}"."{table.name}"' if schema else f'"{table.name}"'
