"""Billing's table of contents."""

from __future__ import annotations

from types import MappingProxyType

from libs.chassis.service import Resources, Service
from libs.events.run import RunEnded, RunRefused
from libs.events.verdict import PromptValidated
from libs.store.engine import reading
from libs.store.readmodels import accounts
from services.billing.domain.ledger import Account, Hold, grant_key
from services.billing.handlers import Billing
from services.billing.settings import BillingSettings


def build(resources: Resources, settings: BillingSettings | None = None) -> Service:
    """Wire billing on real adapters."""
    settings = settings or BillingSettings()

    async def cold(subject: str) -> tuple[Account, int]:
        """Return the account as the archive knows it, and up to which sequence that is."""
        tenant, account = subject.split(".")[2], subject.split(".")[4]
        async with reading(resources.database) as connection:
            known = await accounts.snapshot(connection, tenant, account)
        return _account(known), known.seq

    billing = Billing(
        journal=resources.bus.journal,
        cold=cold,
        now=resources.now,
        welcome_credits=settings.welcome_credits,
    )
    return Service(
        name="billing",
        reacts={
            PromptValidated: billing.on_prompt_validated,
            RunEnded: billing.on_run_ended,
            RunRefused: billing.on_run_refused,
        },
    )


def _account(known: accounts.AccountSnapshot) -> Account:
    return Account(
        opened=known.opened,
        balance=known.balance,
        holds=MappingProxyType(
            {
                prompt_id: Hold(hold.amount, hold.images, hold.day)
                for prompt_id, hold in known.holds.items()
            }
        ),
        closed=MappingProxyType(dict.fromkeys((*map(grant_key, known.grants), *known.settled))),
        images_by_day=MappingProxyType(dict(known.images_by_day)),
    )
