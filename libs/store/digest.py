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


async def digest(connection: AsyncConnection, table: Table) -> str:
    """Return a digest of all rows of a table in the order of its key."""
    order = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    # Each row is digested first, so that no aggregate grows with the width of the rows.
    statement = f"""
        SELECT encode(sha256(coalesce(string_agg(line, ''::bytea ORDER BY place), '')), 'hex')
        FROM (
            SELECT sha256(convert_to(ROW({columns})::text, 'UTF8')) AS line,
                   row_number() OVER (ORDER BY {order}) AS place
            FROM "{table.name}"
        ) AS lines
    """  # noqa: S608  Names of our own tables.
    found: str = (await connection.execute(text(statement))).scalar_one()
    return found
