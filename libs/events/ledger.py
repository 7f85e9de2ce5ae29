"""Money, written by billing; the aggregate is an account, amounts are whole micro-dollars."""

from __future__ import annotations

from typing import Literal

from libs.events.base import Event


class LedgerEvent(Event):
    """Owned by billing."""

    owner = "billing"
    kind = "ledger"

    account: str

    @property
    def subject_id(self) -> str:
        return self.account


class CreditsGranted(LedgerEvent):
    """Money was put on the account."""

    amount: int
    reason: str
    grant_id: str


class PromptMoney(LedgerEvent):
    """An entry about one prompt."""

    prompt_id: str

    @property
    def correlation_id(self) -> str:
        return self.prompt_id


class CreditsHeld(PromptMoney):
    """The price was set aside; `day` is the UTC day that the quota counts."""

    amount: int
    images: int
    price_version: str
    day: str


class CreditsRefused(PromptMoney):
    """The price could not be set aside."""

    reason: Literal["balance", "daily_limit", "internal"]
    needed: int
    available: int
    limit: int | None = None
    retry_after_seconds: int | None = None


class CreditsCaptured(PromptMoney):
    """The held price was taken: the run succeeded."""

    amount: int


class CreditsReleased(PromptMoney):
    """The held price was given back: the run ended any other way."""

    amount: int
    reason: str


LedgerEvents = CreditsGranted | CreditsHeld | CreditsRefused | CreditsCaptured | CreditsReleased
