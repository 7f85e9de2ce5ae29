"""The ledger in double entry: every event's postings sum to zero and are never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, Index, Table, Text

from libs.events.base import Event
from libs.events.ledger import CreditsCaptured, CreditsGranted, CreditsHeld, CreditsReleased
from libs.store.fold import Batch
from libs.store.metadata import METADATA

LEDGER_ENTRIES = Table(
    "ledger_entries",
    METADATA,
    Column("event_id", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("prompt_id", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)
Index("ledger_entries_account", LEDGER_ENTRIES.c.tenant, LEDGER_ENTRIES.c.account)

HOUSE_GRANTS: Final = "house:grants"
HOUSE_REVENUE: Final = "house:revenue"


@dataclass(frozen=True)
class Posting:
    """One line of an entry; positive is money that came onto the account."""

    account: str
    amount: int


def free(account: str) -> str:
    """Return the ledger's name for what a customer may still spend."""
    return f"free:{account}"


def held(account: str) -> str:
    """Return the ledger's name for what is set aside of a customer's money."""
    return f"held:{account}"


def postings(event: Event) -> tuple[str, tuple[Posting, ...]]:
    """Return the kind of entry an event is, and its lines; none if it moves no money."""
    match event:
        case CreditsGranted():
            return "grant", _move(HOUSE_GRANTS, free(event.account), event.amount)
        case CreditsHeld():
            return "hold", _move(free(event.account), held(event.account), event.amount)
        case CreditsCaptured():
            return "capture", _move(held(event.account), HOUSE_REVENUE, event.amount)
        case CreditsReleased():
            return "release", _move(held(event.account), free(event.account), event.amount)
        case _:
            return "", ()


def _move(source: str, target: str, amount: int) -> tuple[Posting, ...]:
    return (Posting(source, -amount), Posting(target, amount)) if amount else ()


def lines(batch: Batch) -> list[dict[str, object]]:
    """Return the rows of a batch's postings; those that are written already stay as they are."""
    return [
        {
            "event_id": recorded.event_id,
            "account": line.account,
            "kind": kind,
            "tenant": recorded.tenant,
            "prompt_id": recorded.correlation_id,
            "amount": line.amount,
            "seq": recorded.seq,
        }
        for recorded in batch
        for kind, entry in (postings(recorded.event),)
        for line in entry
    ]
