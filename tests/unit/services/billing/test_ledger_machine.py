"""An account under any commands in any order, beside a purse that counts its coins one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from libs.decider import fold
from libs.events.base import Event
from libs.events.ledger import CreditsCaptured, CreditsHeld, CreditsReleased
from libs.graph.tiers import FREE, OWNER, PRO, Tier
from libs.store.readmodels.ledger import HOUSE_REVENUE, free, held, postings
from services.billing.domain import ledger
from services.billing.domain.ledger import (
    CaptureCredits,
    Command,
    GrantCredits,
    HoldCredits,
    ReleaseCredits,
)

WELCOME = 500
prompts = st.sampled_from([f"p{number}" for number in range(6)])
Fate = Literal["held", "captured", "released", "refused"]


@dataclass
class Price:
    """What the model knows of one prompt."""

    fate: Fate
    amount: int = 0
    images: int = 0
    day: int = 0


class LedgerMachine(RuleBasedStateMachine):
    """The model: coins that came in, and the fate of each prompt's price."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ledger.initial()
        self.written: list[Event] = []
        self.tier: Tier = FREE
        self.came_in = 0
        self.opened = False
        self.grants: set[str] = set()
        self.prices: dict[str, Price] = {}
        self.today = 1

    @initialize(tier=st.sampled_from([FREE, PRO, OWNER]))
    def open(self, tier):
        self.tier = tier

    @rule(
        prompt=prompts,
        amount=st.sampled_from([0, 20, 400]),
        images=st.sampled_from([1, 20, 30, 600]),
    )
    def hold(self, prompt, amount, images):
        expected: list[str] = []
        if prompt not in self.prices:
            if not self.opened:
                expected = ["CreditsGranted"]
                self.came_in += WELCOME
            said, fate = self._price(amount, images)
            expected.append(said)
            self.prices[prompt] = Price(fate, amount, images, self.today)
            self.opened = True
        self._say(
            HoldCredits(
                account="a",
                prompt_id=prompt,
                amount=amount,
                images=images,
                price_version="1",
                tier=self.tier,
                welcome=WELCOME,
                day=self._day(self.today),
                day_ends_in_seconds=60,
            ),
            expected,
        )

    @rule(ids=st.permutations([f"p{number}" for number in range(6)]))
    def what_is_given_back_may_be_used_again(self, ids):
        for prompt in ids[:3]:
            self.hold(prompt, 20, 30)
            self.release(prompt)

    @rule(prompt=prompts)
    def capture(self, prompt):
        waits = self._fate(prompt) == "held"
        if waits:
            self.prices[prompt].fate = "captured"
        self._say(CaptureCredits("a", prompt), ["CreditsCaptured"] * waits)

    @rule(prompt=prompts)
    def release(self, prompt):
        fate = self._fate(prompt)
        if fate == "held":
            self.prices[prompt].fate = "released"
        elif fate == "":
            self.prices[prompt] = Price("released")
        self._say(
            ReleaseCredits("a", prompt, "failed"), ["CreditsReleased"] * (fate in ("held", ""))
        )

    @rule(grant_id=st.sampled_from(["g1", "g2"]), amount=st.integers(1, 1000))
    def grant(self, grant_id, amount):
        new = grant_id not in self.grants
        if new:
            self.grants.add(grant_id)
            self.came_in += amount
            self.opened = True
        self._say(GrantCredits("a", amount, "gift", grant_id), ["CreditsGranted"] * new)

    @rule(days=st.integers(1, 3))
    def sleep(self, days):
        self.today += days

    @invariant()
    def the_purse_holds_what_the_account_says(self):
        assert self.state.balance == self.came_in - self._sum("captured")
        assert self.state.available == self._left
        assert {p for p, price in self.prices.items() if price.fate == "held"} == set(
            self.state.holds
        )
        assert fold(ledger, ledger.initial(), self.written) == self.state

    @invariant()
    def who_pays_first_never_owes(self):
        assert self.tier is OWNER or self.state.available >= 0

    @invariant()
    def postings_sum_to_zero_and_tell_the_same(self):
        sums: dict[str, int] = {}
        for event in self.written:
            _, lines = postings(event)
            assert sum(line.amount for line in lines) == 0
            for line in lines:
                sums[line.account] = sums.get(line.account, 0) + line.amount
        assert sums.get(free("a"), 0) == self._left
        assert sums.get(held("a"), 0) == self._sum("held")
        assert sums.get(HOUSE_REVENUE, 0) == self._sum("captured")

    @invariant()
    def a_price_is_closed_once_and_only_after_it_was_set_aside(self):
        for prompt in self.prices:
            mine = [event for event in self.written if getattr(event, "prompt_id", "") == prompt]
            closings = [e for e in mine if isinstance(e, CreditsCaptured | CreditsReleased)]
            assert len(closings) <= 1
            if any(isinstance(event, CreditsCaptured) for event in mine):
                assert isinstance(mine[0], CreditsHeld)

    def _price(self, amount: int, images: int) -> tuple[str, Fate]:
        limit = self.tier.generations_per_day
        used = sum(
            price.images
            for price in self.prices.values()
            if price.day == self.today and price.fate in ("held", "captured")
        )
        over_limit = limit is not None and used + images > limit
        too_dear = limit is not None and amount > self._left
        if over_limit or too_dear:
            return "CreditsRefused", "refused"
        return "CreditsHeld", "held"

    def _fate(self, prompt: str) -> str:
        price = self.prices.get(prompt)
        return price.fate if price else ""

    def _sum(self, fate: Fate) -> int:
        return sum(price.amount for price in self.prices.values() if price.fate == fate)

    @property
    def _left(self) -> int:
        return self.came_in - self._sum("held") - self._sum("captured")

    @staticmethod
    def _day(number: int) -> str:
        return f"2026-11-{number:03d}"

    def _say(self, command: Command, expected: list[str]) -> None:
        decided = list(ledger.decide(command, self.state))
        assert [type(event).__name__ for event in decided] == expected
        self.state = fold(ledger, self.state, decided)
        self.written += decided
        # The same command once more is old news, whatever it was.
        assert not ledger.decide(command, self.state)


LedgerMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase
