"""The ledger of one account, in sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given as anything
from hypothesis import strategies as st

from libs.decider import fold
from libs.events.ledger import (
    CreditsCaptured,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsReleased,
)
from libs.events.verdict import WorkEstimate
from libs.graph.tiers import ENTERPRISE, FREE, PRO
from services.billing.domain import ledger
from services.billing.domain.ledger import (
    CaptureCredits,
    Command,
    GrantCredits,
    HoldCredits,
    ReleaseCredits,
)
from services.billing.domain.pricing import PRICE_VERSION, price
from tests.unit.given import given

ADA = "ada"
TODAY = "2026-11-23"
welcome = CreditsGranted(account=ADA, amount=1_000, reason="welcome", grant_id="welcome")


def hold(prompt_id: str = "p1", amount: int = 400) -> HoldCredits:
    return HoldCredits(
        account=ADA,
        prompt_id=prompt_id,
        amount=amount,
        images=1,
        price_version=PRICE_VERSION,
        tier=FREE,
        welcome=1_000,
        day=TODAY,
        day_ends_in_seconds=3600,
    )


def held(prompt_id: str = "p1", amount: int = 400) -> CreditsHeld:
    return CreditsHeld(
        account=ADA,
        prompt_id=prompt_id,
        amount=amount,
        images=1,
        price_version=PRICE_VERSION,
        day=TODAY,
    )


def test_a_new_account_is_welcomed_and_its_first_price_set_aside():
    given(ledger).when(hold()).then(welcome, held())


def test_the_same_prompt_is_held_once():
    given(ledger, welcome, held()).when(hold()).then()


def test_a_success_takes_exactly_what_was_set_aside():
    captured = CreditsCaptured(account=ADA, prompt_id="p1", amount=400)
    given(ledger, welcome, held()).when(CaptureCredits(ADA, "p1")).then(captured).when(
        CaptureCredits(ADA, "p1")
    ).then()


def test_any_other_end_gives_it_back_once():
    released = CreditsReleased(account=ADA, prompt_id="p1", amount=400, reason="failed")
    after = given(ledger, welcome, held()).when(ReleaseCredits(ADA, "p1", "failed")).then(released)
    after.when(ReleaseCredits(ADA, "p1", "failed")).then()
    after.when(CaptureCredits(ADA, "p1")).then()
    assert after.state.available == 1_000


def test_an_end_that_overtakes_the_hold_closes_the_prompt():
    nothing = CreditsReleased(account=ADA, prompt_id="p1", amount=0, reason="blocked")
    given(ledger, welcome).when(ReleaseCredits(ADA, "p1", "blocked")).then(nothing).when(
        hold()
    ).then()


def test_an_empty_account_is_refused_with_what_it_has():
    given(ledger, welcome, held(amount=900)).when(hold("p2")).then(
        CreditsRefused(account=ADA, prompt_id="p2", reason="balance", needed=400, available=100)
    )


def test_an_invoiced_tier_may_go_below_zero():
    command = replace(hold(amount=5_000), tier=ENTERPRISE)
    given(ledger, welcome).when(command).then(held(amount=5_000))


@pytest.mark.covers("R350", "R355", "R361")
@pytest.mark.parametrize(("tier", "limit"), [(FREE, 50), (PRO, 1000)])
def test_the_picture_after_the_last_of_the_day_is_refused_until_midnight(tier, limit):
    grant = CreditsGranted(account=ADA, amount=10**9, reason="test", grant_id="g")
    made = [held(f"p{number}", 1) for number in range(limit)]
    taken = [
        CreditsCaptured(account=ADA, prompt_id=f"p{number}", amount=1) for number in range(limit)
    ]
    last = given(ledger, grant, *made[:-1], *taken[:-1])
    last.when(replace(hold(f"p{limit - 1}", 1), tier=tier)).then(made[-1])
    full = given(ledger, grant, *made, *taken)
    full.when(replace(hold("more", 1), tier=tier)).then(
        CreditsRefused(
            account=ADA,
            prompt_id="more",
            reason="daily_limit",
            needed=1,
            available=0,
            limit=limit,
            retry_after_seconds=3600,
        )
    )
    full.when(replace(hold("more", 1), tier=tier, day="2026-11-24")).then(
        held("more", 1).model_copy(update={"day": "2026-11-24"})
    )
    full.when(replace(hold("more", 1), tier=ENTERPRISE)).then(held("more", 1))


def test_a_picture_that_was_given_back_does_not_count_for_the_day():
    back = CreditsReleased(account=ADA, prompt_id="p1", amount=400, reason="failed")
    assert given(ledger, welcome, held(), back).state.images_by_day[TODAY] == 0


def test_a_grant_is_booked_once():
    grant = GrantCredits(ADA, 5, "top-up", "invoice-7")
    booked = CreditsGranted(account=ADA, amount=5, reason="top-up", grant_id="invoice-7")
    given(ledger).when(grant).then(booked).when(grant).then()


commands = st.lists(
    st.one_of(
        st.builds(hold, st.sampled_from(["a", "b", "c"]), st.integers(1, 700)),
        st.builds(CaptureCredits, st.just(ADA), st.sampled_from(["a", "b", "c"])),
        st.builds(
            ReleaseCredits, st.just(ADA), st.sampled_from(["a", "b", "c"]), st.just("failed")
        ),
    ),
    max_size=30,
)


@anything(commands)
def test_a_prepaid_account_never_goes_below_zero_and_each_prompt_closes_once(
    played: list[Command],
):
    state = ledger.initial()
    closings: list[str] = []
    for command in played:
        for event in ledger.decide(command, state):
            state = fold(ledger, state, [event])
            if isinstance(event, CreditsCaptured | CreditsReleased | CreditsRefused):
                closings.append(event.prompt_id)
        assert state.available >= 0
        assert not ledger.decide(command, state)
    assert len(closings) == len(set(closings))


@pytest.mark.covers("R036")
def test_a_megapixel_picture_of_thirty_steps_costs_what_a_machine_of_ones_own_costs():
    sdxl = WorkEstimate(megapixel_steps=30 * 1024 * 1024 / 1e6, images=1, steps=30)
    assert 200 <= price(sdxl) <= 500


def test_even_no_work_has_a_price():
    assert price(WorkEstimate(megapixel_steps=0, images=0, steps=0)) == 20
