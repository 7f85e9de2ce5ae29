"""The ledger of one account: grant, hold, capture, release. The module is the decider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeAlias, assert_never

from libs.events.base import Event
from libs.events.ledger import (
    CreditsCaptured,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsReleased,
)
from libs.graph.tiers import Tier

# Prompts older than the last so many are beyond any redelivery, so forgetting them is safe.
CLOSED_REMEMBERED_MAX: Final = 10_000


@dataclass(frozen=True)
class Hold:
    """A price set aside for one prompt."""

    amount: int
    images: int
    day: str


@dataclass(frozen=True)
class Account:
    """Balance, what is set aside of it, and which prompts are done with."""

    opened: bool = False
    balance: int = 0
    holds: Mapping[str, Hold] = field(default_factory=lambda: MappingProxyType({}))
    closed: Mapping[str, None] = field(default_factory=lambda: MappingProxyType({}))
    images_by_day: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def available(self) -> int:
        """Return what may still be set aside."""
        return self.balance - sum(hold.amount for hold in self.holds.values())


@dataclass(frozen=True)
class HoldCredits:
    """Set the price of a prompt aside, on UTC day `day`."""

    account: str
    prompt_id: str
    amount: int
    images: int
    price_version: str
    tier: Tier
    welcome: int
    day: str
    day_ends_in_seconds: int


@dataclass(frozen=True)
class CaptureCredits:
    """The run succeeded: take what was set aside."""

    account: str
    prompt_id: str


@dataclass(frozen=True)
class ReleaseCredits:
    """The prompt will never be delivered: give back what was set aside, if it was."""

    account: str
    prompt_id: str
    reason: str


@dataclass(frozen=True)
class GrantCredits:
    """Put money on the account, once per `grant_id`."""

    account: str
    amount: int
    reason: str
    grant_id: str


Command: TypeAlias = HoldCredits | CaptureCredits | ReleaseCredits | GrantCredits


def initial() -> Account:
    """Return an account that nobody has used."""
    return Account()


def decide(command: Command, state: Account) -> Sequence[Event]:
    """Return the entries that follow from `command`; nothing for old news."""
    match command:
        case HoldCredits():
            return _hold(command, state)
        case CaptureCredits():
            held = state.holds.get(command.prompt_id)
            if held is None:
                return []
            return [
                CreditsCaptured(
                    account=command.account, prompt_id=command.prompt_id, amount=held.amount
                )
            ]
        case ReleaseCredits():
            return _release(command, state)
        case GrantCredits():
            if grant_key(command.grant_id) in state.closed:
                return []
            return [
                CreditsGranted(
                    account=command.account,
                    amount=command.amount,
                    reason=command.reason,
                    grant_id=command.grant_id,
                )
            ]
    assert_never(command)


def evolve(state: Account, event: Event) -> Account:
    """Return the account after one entry."""
    match event:
        case CreditsGranted():
            return replace(
                state,
                opened=True,
                balance=state.balance + event.amount,
                closed=_remember(state.closed, grant_key(event.grant_id)),
            )
        case CreditsHeld():
            hold = Hold(event.amount, event.images, event.day)
            return replace(
                state,
                opened=True,
                holds=MappingProxyType({**state.holds, event.prompt_id: hold}),
                images_by_day=_count(state.images_by_day, event.day, event.images),
            )
        case CreditsRefused():
            return replace(state, closed=_remember(state.closed, event.prompt_id))
        case CreditsCaptured():
            return _close(replace(state, balance=state.balance - event.amount), event.prompt_id)
        case CreditsReleased():
            held = state.holds.get(event.prompt_id)
            if held is not None:
                by_day = _count(state.images_by_day, held.day, -held.images)
                state = replace(state, images_by_day=by_day)
            return _close(state, event.prompt_id)
        case _:
            return state


def _hold(command: HoldCredits, state: Account) -> Sequence[Event]:
    if command.prompt_id in state.holds or command.prompt_id in state.closed:
        return []
    opening: list[Event] = []
    available = state.available
    if not state.opened and command.welcome:
        opening = [
            CreditsGranted(
                account=command.account,
                amount=command.welcome,
                reason="welcome",
                grant_id="welcome",
            )
        ]
        available += command.welcome
    limit = command.tier.generations_per_day
    made = state.images_by_day.get(command.day, 0)
    if limit is not None and made + command.images > limit:
        return [
            *opening,
            CreditsRefused(
                account=command.account,
                prompt_id=command.prompt_id,
                reason="daily_limit",
                needed=command.images,
                available=max(0, limit - made),
                limit=limit,
                retry_after_seconds=command.day_ends_in_seconds,
            ),
        ]
    if _prepaid(command.tier) and command.amount > available:
        return [
            *opening,
            CreditsRefused(
                account=command.account,
                prompt_id=command.prompt_id,
                reason="balance",
                needed=command.amount,
                available=available,
            ),
        ]
    held = CreditsHeld(
        account=command.account,
        prompt_id=command.prompt_id,
        amount=command.amount,
        images=command.images,
        price_version=command.price_version,
        day=command.day,
    )
    return [*opening, held]


def _prepaid(tier: Tier) -> bool:
    # A tier without a daily limit pays by invoice; its balance may go below zero.
    return tier.generations_per_day is not None


def _release(command: ReleaseCredits, state: Account) -> Sequence[Event]:
    if command.prompt_id in state.closed:
        return []
    held = state.holds.get(command.prompt_id)
    # Without a hold the entry is of nothing: it closes the prompt, so that a hold which is
    # decided later, because its news was overtaken, is never placed and forgotten.
    return [
        CreditsReleased(
            account=command.account,
            prompt_id=command.prompt_id,
            amount=held.amount if held else 0,
            reason=command.reason,
        )
    ]


def _close(state: Account, prompt_id: str) -> Account:
    holds = {other: hold for other, hold in state.holds.items() if other != prompt_id}
    return replace(state, holds=MappingProxyType(holds), closed=_remember(state.closed, prompt_id))


def _remember(closed: Mapping[str, None], key: str) -> Mapping[str, None]:
    kept = {**closed, key: None}
    while len(kept) > CLOSED_REMEMBERED_MAX:
        kept.pop(next(iter(kept)))
    return MappingProxyType(kept)


def _count(images_by_day: Mapping[str, int], day: str, images: int) -> Mapping[str, int]:
    # Only two days can still matter: the one that a hold was made on, and the one after.
    days = sorted({*images_by_day, day})[-2:]
    counted = {**images_by_day, day: max(0, images_by_day.get(day, 0) + images)}
    return MappingProxyType({kept: counted[kept] for kept in days})


def grant_key(grant_id: str) -> str:
    """Return the name under which a grant is remembered as made."""
    return f"grant:{grant_id}"
