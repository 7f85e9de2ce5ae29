"""Billing on a bus that delivers everything twice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from libs.bus.memory import MemoryBus
from libs.chassis.service import Service
from libs.events.base import Sealed
from libs.events.ledger import (
    CreditsCaptured,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsReleased,
)
from libs.events.prompt import PromptSubmitted
from libs.events.run import RunEnded, RunRefused
from libs.events.verdict import PromptValidated, WorkEstimate
from services.billing.domain import ledger
from services.billing.domain.ledger import Account
from services.billing.handlers import Billing
from tests.unit.house import append, running

LATE = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
PROMPT = "0199c6a0-0000-7000-8000-000000000001"
WORK = WorkEstimate(megapixel_steps=10, images=1, steps=20)
PRICE = 140


def billing(bus: MemoryBus, welcome_credits: int = 1) -> Service:
    async def cold(_subject: str) -> tuple[Account, int]:
        return ledger.initial(), 0

    hands = Billing(
        journal=bus.journal, cold=cold, now=lambda: LATE, welcome_credits=welcome_credits
    )
    return Service(
        name="billing",
        reacts={
            PromptValidated: hands.on_prompt_validated,
            RunEnded: hands.on_run_ended,
            RunRefused: hands.on_run_refused,
        },
    )


def submitted(prompt_id: str = PROMPT) -> PromptSubmitted:
    return PromptSubmitted(
        prompt_id=prompt_id,
        user_id="ada",
        account="ada",
        tier="pro",
        dialect="comfyui",
        workflow=Sealed(kid="k"),
        body_mac="m",
        keyed=False,
    )


def validated(prompt_id: str = PROMPT) -> PromptValidated:
    return PromptValidated(
        prompt_id=prompt_id, account="ada", tier="pro", outputs=("9",), nodes=3, estimate=WORK
    )


def ended(outcome: str, prompt_id: str = PROMPT) -> RunEnded:
    return RunEnded(prompt_id=prompt_id, outcome=outcome, attempt=1)


def money(bus: MemoryBus) -> list[tuple[str, int]]:
    return [
        (type(event).__name__, getattr(event, "amount", 0))
        for event in bus.journal_events()
        if isinstance(
            event,
            CreditsGranted | CreditsHeld | CreditsCaptured | CreditsReleased | CreditsRefused,
        )
    ]


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus("billing", deliver_twice=True)


@pytest.mark.covers("R395")
@pytest.mark.parametrize(
    ("outcome", "last"),
    [
        ("succeeded", "CreditsCaptured"),
        ("failed", "CreditsReleased"),
        ("cancelled", "CreditsReleased"),
        ("blocked", "CreditsReleased"),
        ("expired", "CreditsReleased"),
    ],
)
async def test_a_price_is_held_once_and_taken_only_for_a_success(bus, outcome, last):
    async with running(bus, billing(bus)):
        await append(bus, submitted())
        await append(bus, validated())
        await bus.drain()
        await append(bus, ended(outcome))
        await bus.drain()
    assert money(bus) == [("CreditsGranted", 1_000), ("CreditsHeld", PRICE), (last, PRICE)]


async def test_a_prompt_that_is_refused_before_it_is_held_is_never_held(bus):
    async with running(bus, billing(bus)):
        await append(bus, submitted())
        await append(bus, RunRefused(prompt_id=PROMPT, status=403, code="blocked", message="no"))
        await bus.drain()
        await append(bus, validated())
        await bus.drain()
    assert money(bus) == [("CreditsReleased", 0)]


async def test_an_account_without_money_is_refused_and_later_ends_change_nothing(bus):
    async with running(bus, billing(bus, welcome_credits=0)):
        await append(bus, submitted())
        await append(bus, validated())
        await bus.drain()
        await append(bus, RunRefused(prompt_id=PROMPT, status=402, code="balance", message="no"))
        await bus.drain()
    assert money(bus) == [("CreditsRefused", 0)]


async def test_a_restarted_billing_finds_its_accounts_on_the_bus(bus):
    async with running(bus, billing(bus)):
        await append(bus, submitted())
        await append(bus, validated())
        await bus.drain()
    async with running(bus, billing(bus)):
        await append(bus, ended("succeeded"))
        await bus.drain()
    assert money(bus)[-1] == ("CreditsCaptured", PRICE)


@pytest.mark.covers("P14")
async def test_a_price_is_taken_from_whoever_asked_though_another_tenant_chose_the_same_id(bus):
    theirs = validated().model_copy(update={"account": "eve"})
    async with running(bus, billing(bus)):
        await append(bus, submitted())
        await append(bus, validated())
        await bus.drain()
        await append(bus, theirs, tenant="umbra")
        await bus.drain()
        await append(bus, ended("succeeded"))
        await bus.drain()
    captured = [event for event in bus.journal_events() if isinstance(event, CreditsCaptured)]
    assert [event.account for event in captured] == ["ada"]
