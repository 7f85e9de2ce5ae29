"""Billing's hands: hear that a prompt may cost, and how its run ended."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from libs.core.errors import Poisoned
from libs.core.money import MICROS_PER_CREDIT
from libs.decider import ColdStart, Folds, Journal, transact
from libs.events.base import PromptKey, subject
from libs.events.envelope import Recorded
from libs.events.prompt import PromptSubmitted
from libs.events.run import RunEnded, RunRefused
from libs.events.verdict import PromptValidated
from libs.graph.tiers import tier_named
from services.billing.domain import ledger
from services.billing.domain.ledger import (
    Account,
    CaptureCredits,
    Command,
    HoldCredits,
    ReleaseCredits,
)
from services.billing.domain.pricing import PRICE_VERSION, price

ACCOUNTS_REMEMBERED_MAX = 10_000


@dataclass(frozen=True)
class Billing:
    """Every dependency is a field; every reaction is a method."""

    journal: Journal
    cold: ColdStart[Account]
    now: Callable[[], datetime]
    welcome_credits: int
    folds: Folds[Account] = field(default_factory=Folds)
    accounts: OrderedDict[PromptKey, str] = field(default_factory=OrderedDict)
    turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def on_prompt_validated(self, recorded: Recorded[PromptValidated]) -> None:
        """Set the price aside, or say why not."""
        event = recorded.event
        self._remember((recorded.tenant, event.prompt_id), event.account)
        now = self.now()
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        await self._enter(
            recorded,
            event.account,
            HoldCredits(
                account=event.account,
                prompt_id=event.prompt_id,
                amount=price(event.estimate),
                images=max(1, event.estimate.images),
                price_version=PRICE_VERSION,
                tier=tier_named(event.tier),
                welcome=self.welcome_credits * MICROS_PER_CREDIT,
                day=now.date().isoformat(),
                day_ends_in_seconds=max(1, int((midnight - now).total_seconds())),
            ),
        )

    async def on_run_ended(self, recorded: Recorded[RunEnded]) -> None:
        """Take the price of a run that succeeded; give back that of any other."""
        event = recorded.event
        account = await self._account_of(recorded.tenant, event.prompt_id)
        command: Command = (
            CaptureCredits(account, event.prompt_id)
            if event.outcome == "succeeded"
            else ReleaseCredits(account, event.prompt_id, event.outcome)
        )
        await self._enter(recorded, account, command)

    async def on_run_refused(self, recorded: Recorded[RunRefused]) -> None:
        """Give back the price of a prompt that was never accepted."""
        event = recorded.event
        account = await self._account_of(recorded.tenant, event.prompt_id)
        await self._enter(recorded, account, ReleaseCredits(account, event.prompt_id, event.code))

    async def _enter(
        self,
        recorded: Recorded[PromptValidated] | Recorded[RunEnded] | Recorded[RunRefused],
        account: str,
        command: Command,
    ) -> None:
        where = subject(recorded.tenant, "ledger", account)
        # All prompts of an account write one subject: those in one process would only race and
        # read the account anew each time.
        async with self.turns.setdefault(where, asyncio.Lock()):
            await transact(
                self.journal,
                ledger,
                where,
                command,
                recorded.cause(),
                folds=self.folds,
                cold=self.cold,
            )

    async def _account_of(self, tenant: str, prompt_id: str) -> str:
        key = (tenant, prompt_id)
        known = self.accounts.get(key)
        if known is not None:
            return known
        loaded = await self.journal.load(subject(tenant, "prompt", prompt_id))
        for recorded in loaded.events:
            if isinstance(recorded.event, PromptSubmitted):
                self._remember(key, recorded.event.account)
                return recorded.event.account
        raise Poisoned("a run ended that was never submitted", prompt_id=prompt_id)

    def _remember(self, key: PromptKey, account: str) -> None:
        self.accounts[key] = account
        while len(self.accounts) > ACCOUNTS_REMEMBERED_MAX:
            self.accounts.popitem(last=False)
