"""The way to PostgreSQL: an engine, its migrations, and connections whose failures we name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from libs.core.errors import Misconfigured, StudioError, Unavailable
from libs.store.text import to_json

MIGRATIONS: Final = Path(__file__).with_name("migrations")
SILENT: Final = "PostgreSQL does not answer; start it, or correct DATABASE_URL"
MIGRATION_LOCK: Final = 0x48414E5A4F01
POOL_SIZE: Final = 5
POOL_OVERFLOW: Final = 10
POOL_WAIT_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
# A server that went silent must not hold whoever asks it for ever.
COMMAND_SECONDS: Final = 60.0
SCHEMES: Final = {"postgres", "postgresql", "postgresql+asyncpg"}
SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
# Classes of SQLSTATE that a later try may not meet: connection, rollback (lost race), resources,
# an object in use or closed for now, operators (shutdown, restart), and trouble with its files.
# A server that only reads is a standby, or an operator's doing.
PASSING_SQLSTATES: Final = ("08", "25006", "40", "53", "55", "57", "58")
NO_TABLE: Final = "42P01"
# Wrong password, unknown database or schema, missing rights.
SETTINGS_SQLSTATES: Final = ("28", "3D", "3F", "42501")


def make_engine(
    database_url: str,
    *,
    schema: str = "public",
    pool_size: int = POOL_SIZE,
    command_seconds: float = COMMAND_SECONDS,
) -> AsyncEngine:
    """Return an engine for `postgresql://` or `postgresql+asyncpg://`; nothing is opened yet."""
    _check_schema(schema)
    return create_async_engine(
        _asyncpg_url(database_url),
        pool_size=pool_size,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=False,
        # Rows are compared as text when a rebuild is compared, so the zone must not vary.
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": command_seconds,
            "server_settings": {"search_path": schema, "timezone": "UTC"},
        },
        json_serializer=to_json,
        json_deserializer=orjson.loads,
        hide_parameters=True,
    )


async def migrate(database_url: str, *, schema: str = "public") -> None:
    """Bring the tables to the newest version; safe when several processes start at once."""
    engine = make_engine(database_url, schema=schema, pool_size=1)
    try:
        async with writing(engine) as connection:
            await connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK}
            )
            if schema != "public":
                await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


async def build_schema(connection: AsyncConnection, schema: str) -> None:
    """Make all tables in a new schema, which is then where this transaction looks for tables."""
    _check_schema(schema)
    await connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    await connection.execute(text(f'SET LOCAL search_path TO "{schema}"'))
    await connection.run_sync(_upgrade)


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection to read with; its failures are Unavailable or Misconfigured."""
    with naming_failures():
        async with engine.connect() as connection:
            yield connection


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection in one transaction, committed at the end; failures as for `reading`."""
    with naming_failures():
        async with engine.begin() as connection:
            yield connection


async def driver(connection: AsyncConnection) -> Any:
    """Return the driver's own connection, inside the transaction of `connection`.

    For the few statements that are made so often that SQLAlchemy's part in them would be most of
    their cost.
    """
    own = (await connection.get_raw_connection()).driver_connection
    if own is not None and not own.is_in_transaction():
        # SQLAlchemy begins a transaction with its first statement, and sees none of ours.
        await connection.execute(text("SELECT 1"))
    return own


async def healthy(engine: AsyncEngine) -> bool:
    """Say whether PostgreSQL answers now."""
    try:
        async with reading(engine) as connection:
            await connection.execute(text("SELECT 1"))
    except (Unavailable, Misconfigured):
        return False
    return True


def _check_schema(schema: str) -> None:
    if not SCHEMA_NAME.match(schema):
        raise Misconfigured("a schema is named with a-z 0-9 _ only", schema=schema)


@contextmanager
def naming_failures() -> Iterator[None]:
    """Turn failures of the server into Unavailable, of how we ask for it into Misconfigured.

    What a statement itself did wrong stays what it is.
    """
    try:
        yield
    except DBAPIError as error:
        named = _named(error)
        if named is None:
            raise
        raise named from error
    except (PoolTimeout, OSError, TimeoutError) as error:
        raise Unavailable(SILENT, reason=repr(error)) from error
    except asyncpg.PostgresError as error:
        # The driver raises these unwrapped while it connects, and for those who use it directly.
        raise _by_sqlstate(error.sqlstate or "", error) or error from error
    except asyncpg.InterfaceError as error:
        if isinstance(error, ValueError):
            raise  # A value that it cannot send, and no trouble with the connection.
        raise Unavailable(SILENT, reason=str(error)) from error


def _named(error: DBAPIError) -> StudioError | None:
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return Unavailable(SILENT, reason=str(error.orig))
    return _by_sqlstate(str(getattr(error.orig, "sqlstate", None) or ""), error.orig)


def _by_sqlstate(sqlstate: str, error: BaseException | None) -> StudioError | None:
    if sqlstate == NO_TABLE:
        return Unavailable(
            "the database has no tables of ours yet; run `studio provision`, or correct "
            "DATABASE_URL",
            reason=str(error),
        )
    if sqlstate.startswith(SETTINGS_SQLSTATES):
        return Misconfigured(
            "PostgreSQL refuses us; check DATABASE_URL", sqlstate=sqlstate, reason=str(error)
        )
    if sqlstate.startswith(PASSING_SQLSTATES):
        return Unavailable("PostgreSQL cannot do it now", sqlstate=sqlstate, reason=str(error))
    return None


def _asyncpg_url(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise Misconfigured("DATABASE_URL is no URL of a database") from error
    if url.drivername not in SCHEMES:
        raise Misconfigured(
            "DATABASE_URL must begin with postgresql:// or postgresql+asyncpg://",
            begins_with=url.drivername,
        )
    query = dict(url.query)
    if "sslmode" in query:  # libpq's name for what the driver calls ssl.
        query["ssl"] = query.pop("sslmode")
    return url.set(drivername="postgresql+asyncpg", query=query)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
