"""Accounts: balances, holds, grants and usage per day, and what billing starts from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    Table,
    Text,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.events.ledger import (
    CreditsCaptured,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsReleased,
    LedgerEvent,
    PromptMoney,
)
from libs.store.fold import Fold, Key, replace
from libs.store.metadata import DOCUMENT, METADATA
from libs.store.readmodels import checkpoint

SETTLED_MAX: Final = 10_000
DAYS_MAX: Final = 31

BALANCES = Table(
    "balances",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("balance", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)
HOLDS = Table(
    "holds",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("prompt_id", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("images", Integer, nullable=False),
    Column("day", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)
Index("holds_newest", HOLDS.c.tenant, HOLDS.c.account, HOLDS.c.last_seq)
Index("holds_day", HOLDS.c.tenant, HOLDS.c.account, HOLDS.c.day)
Index("holds_open", HOLDS.c.tenant, HOLDS.c.account, postgresql_where=text("state = 'held'"))
GRANTS = Table(
    "grants",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("grant_id", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)


@dataclass(frozen=True)
class BalanceRow:
    """All money of an account, and how much of it is set aside."""

    tenant: str
    account: str
    balance: int
    held: int
    last_seq: int


@dataclass(frozen=True)
class HoldRow:
    """The price of one prompt, and what became of it."""

    tenant: str
    account: str
    prompt_id: str
    amount: int
    images: int
    day: str
    state: Literal["held", "captured", "released", "refused"]
    last_seq: int


@dataclass(frozen=True)
class GrantRow:
    """Money that was put on an account."""

    tenant: str
    account: str
    grant_id: str
    amount: int
    reason: str
    last_seq: int


@dataclass(frozen=True)
class UsageRow:
    """What an account used on one UTC day; what was given back does not count."""

    day: str
    prompts: int
    images: int
    held_micros: int
    captured_micros: int


@dataclass(frozen=True)
class AccountSnapshot:
    """An account up to sequence `seq`; `balance` includes what is set aside.

    `settled` are the prompts whose money is done with and `grants` the grants that were made,
    oldest first. `images_by_day` counts what was set aside and not given back.
    """

    seq: int
    opened: bool = False
    balance: int = 0
    holds: dict[str, HoldRow] = field(default_factory=dict)
    settled: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    images_by_day: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AccountPage:
    """What a person wants to know of an account."""

    balance: int
    held: int
    recent: tuple[HoldRow, ...]
    usage: tuple[UsageRow, ...]


def touch_balance(recorded: Recorded[Event]) -> Iterable[Key]:
    """Return the account that an event moves money of."""
    event = recorded.event
    if isinstance(event, LedgerEvent) and not isinstance(event, CreditsRefused):
        yield (recorded.tenant, event.account)


def evolve_balance(
    row: BalanceRow | None, key: Key, recorded: Recorded[Event]
) -> BalanceRow | None:
    """Return the balance after an entry; only money that comes in or is held opens an account."""
    if row is None and not isinstance(recorded.event, CreditsGranted | CreditsHeld):
        return None
    row = row or BalanceRow(str(key[0]), str(key[1]), balance=0, held=0, last_seq=0)
    match recorded.event:
        case CreditsGranted() as event:
            return replace(row, balance=row.balance + event.amount)
        case CreditsHeld() as event:
            return replace(row, held=row.held + event.amount)
        case CreditsCaptured() as event:
            return replace(row, balance=row.balance - event.amount, held=row.held - event.amount)
        case CreditsReleased() as event:
            return replace(row, held=row.held - event.amount)
        case _:
            return row


def touch_hold(recorded: Recorded[Event]) -> Iterable[Key]:
    """Return the prompt that an entry is about."""
    event = recorded.event
    if isinstance(event, PromptMoney):
        yield (recorded.tenant, event.account, event.prompt_id)


def evolve_hold(row: HoldRow | None, key: Key, recorded: Recorded[Event]) -> HoldRow | None:
    """Return what is set aside for a prompt after an entry."""
    tenant, account, prompt_id = map(str, key)
    none = HoldRow(tenant, account, prompt_id, 0, 0, "", state="released", last_seq=0)
    match recorded.event:
        case CreditsHeld() as event:
            return replace(
                none, state="held", amount=event.amount, images=event.images, day=event.day
            )
        case CreditsCaptured():
            return replace(row or none, state="captured")
        case CreditsReleased():
            return replace(row or none, state="released")
        case CreditsRefused():
            return replace(row or none, state="refused")
        case _:
            return row


def touch_grant(recorded: Recorded[Event]) -> Iterable[Key]:
    """Return the grant that an event is."""
    event = recorded.event
    if isinstance(event, CreditsGranted):
        yield (recorded.tenant, event.account, event.grant_id)


def evolve_grant(row: GrantRow | None, key: Key, recorded: Recorded[Event]) -> GrantRow | None:
    """Return the grant as it was made."""
    event = recorded.event
    if row is not None or not isinstance(event, CreditsGranted):
        return row
    tenant, account, grant_id = map(str, key)
    return GrantRow(tenant, account, grant_id, event.amount, event.reason, recorded.seq)


BALANCE_FOLD: Final = Fold(
    table=BALANCES, row=BalanceRow, touch=touch_balance, evolve=evolve_balance
)
HOLD_FOLD: Final = Fold(table=HOLDS, row=HoldRow, touch=touch_hold, evolve=evolve_hold)
GRANT_FOLD: Final = Fold(table=GRANTS, row=GrantRow, touch=touch_grant, evolve=evolve_grant)


# One statement sees one moment of the database, and the sequence is of that very moment.
_SNAPSHOT: Final = text(
    """
    WITH newest AS (
        (SELECT * FROM holds WHERE tenant = :tenant AND account = :account
            ORDER BY last_seq DESC LIMIT :settled_max)
        UNION
        SELECT * FROM holds WHERE tenant = :tenant AND account = :account AND state = 'held'
    ),
    last AS (
        SELECT max(day)::date AS day FROM holds
        WHERE tenant = :tenant AND account = :account AND day <> ''
    ),
    days AS (
        SELECT holds.day, sum(images)::bigint AS images FROM holds, last
        WHERE tenant = :tenant AND account = :account
            AND holds.day >= to_char(last.day - 1, 'YYYY-MM-DD')
            AND state IN ('held', 'captured')
        GROUP BY holds.day
    )
    SELECT
        (SELECT seq FROM checkpoint WHERE name = :archive) AS seq,
        (SELECT balance FROM balances WHERE tenant = :tenant AND account = :account) AS balance,
        (SELECT jsonb_agg(to_jsonb(newest) ORDER BY last_seq) FROM newest) AS holds,
        (SELECT jsonb_agg(grant_id ORDER BY last_seq) FROM grants
            WHERE tenant = :tenant AND account = :account) AS grants,
        (SELECT jsonb_object_agg(day, images) FROM days) AS images_by_day
    """
).columns(holds=DOCUMENT, grants=DOCUMENT, images_by_day=DOCUMENT)


async def snapshot(connection: AsyncConnection, tenant: str, account: str) -> AccountSnapshot:
    """Return an account as billing remembers it, with the sequence that it is true at.

    Read the ledger's subject from `seq` on for what happened since.
    """
    parameters = {
        "tenant": tenant,
        "account": account,
        "settled_max": SETTLED_MAX,
        "archive": checkpoint.ARCHIVE,
    }
    row = (await connection.execute(_SNAPSHOT, parameters)).mappings().one()
    holds = [HOLD_FOLD.read(hold) for hold in row["holds"] or ()]
    return AccountSnapshot(
        seq=row["seq"] or 0,
        opened=row["balance"] is not None,
        balance=row["balance"] or 0,
        holds={hold.prompt_id: hold for hold in holds if hold.state == "held"},
        settled=tuple(hold.prompt_id for hold in holds if hold.state != "held"),
        grants=tuple(row["grants"] or ()),
        images_by_day=row["images_by_day"] or {},
    )


async def account_page(
    connection: AsyncConnection, tenant: str, account: str, *, max_items: int = 50
) -> AccountPage:
    """Return balance, newest prices and usage per day, newest first."""
    balance = await _balance(connection, tenant, account)
    return AccountPage(
        balance=balance.balance if balance else 0,
        held=balance.held if balance else 0,
        recent=tuple(await _holds(connection, tenant, account, max_items)),
        usage=await usage(connection, tenant, account, days_max=DAYS_MAX),
    )


async def usage(
    connection: AsyncConnection, tenant: str, account: str, *, days_max: int
) -> tuple[UsageRow, ...]:
    """Return what an account used on its newest days, newest first."""
    captured = HOLDS.c.state == "captured"
    found = await connection.execute(
        select(
            HOLDS.c.day,
            func.count().label("prompts"),
            cast(func.sum(HOLDS.c.images), BigInteger).label("images"),
            cast(func.sum(HOLDS.c.amount), BigInteger).label("held_micros"),
            cast(func.coalesce(func.sum(HOLDS.c.amount).filter(captured), 0), BigInteger).label(
                "captured_micros"
            ),
        )
        .where(
            HOLDS.c.tenant == tenant,
            HOLDS.c.account == account,
            HOLDS.c.state.in_(("held", "captured")),
        )
        .group_by(HOLDS.c.day)
        .order_by(HOLDS.c.day.desc())
        .limit(days_max)
    )
    return tuple(UsageRow(**row) for row in found.mappings())


async def _balance(connection: AsyncConnection, tenant: str, account: str) -> BalanceRow | None:
    found = await connection.execute(
        select(BALANCES).where(BALANCES.c.tenant == tenant, BALANCES.c.account == account)
    )
    row = found.mappings().one_or_none()
    return BALANCE_FOLD.read(row) if row else None


async def _holds(
    connection: AsyncConnection, tenant: str, account: str, max_items: int
) -> list[HoldRow]:
    """Return the newest prices of an account, newest first."""
    found = await connection.execute(
        select(HOLDS)
        .where(HOLDS.c.tenant == tenant, HOLDS.c.account == account)
        .order_by(HOLDS.c.last_seq.desc())
        .limit(max_items)
    )
    return [HOLD_FOLD.read(row) for row in found.mappings()]
