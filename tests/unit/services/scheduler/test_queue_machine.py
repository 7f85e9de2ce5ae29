"""The waiting room and the board under any course of events, beside plain lists."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.events.run import RunQueued
from services.scheduler.domain import matching
from services.scheduler.domain.board import Board
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.matching import HEAD_START_SECONDS, Offer, Waiting, WaitingRoom
from tests.unit.services.scheduler.told import (
    ADA,
    BOB,
    EVERYTHING_GOOD,
    NOON,
    ended,
    expired,
    lease,
)

WINDOW = 4
STEP_SECONDS = 10
FILES = ("checkpoints/a", "checkpoints/b")
ALL = frozenset(FILES)
tenants = st.sampled_from(["t1", "t2", "t3"])
tiers = st.sampled_from(["free", "pro", "enterprise"])


class RoomMachine(RuleBasedStateMachine):
    """The model: who waits, in the order of coming, and how often each was overtaken."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(matching, "LOOKAHEAD", WINDOW)
        self.room = WaitingRoom()
        self.waiting: list[Waiting] = []
        self.leased: list[str] = []
        self.overtaken: dict[str, int] = {}
        self.number = 0
        self.now = NOON

    def teardown(self):
        everything = Offer(ADA, 10_000, ALL)
        while self.waiting:
            self._serve(everything)
        assert self.room.pick(everything) is None
        self._patch.undo()

    @rule(tenant=tenants, tier=tiers, needs=st.sets(st.sampled_from(FILES)), big=st.booleans())
    def come(self, tenant, tier, needs, big):
        self._come(tenant, tier, tuple(sorted(needs)), vram_mib=9000 if big else 0)

    @rule(warm=st.sets(st.sampled_from(FILES)))
    def serve_who_can_do_everything(self, warm):
        self._serve(Offer(ADA, 10_000, ALL, frozenset(warm)))

    @rule(weights=st.sets(st.sampled_from(FILES)), data=st.data())
    def serve_who_can_do_a_part(self, weights, data):
        warm = data.draw(st.sets(st.sampled_from(sorted(weights)))) if weights else set()
        self._serve(Offer(BOB, 8192, frozenset(weights), frozenset(warm)))

    @rule(tenant=tenants, tier=tiers)
    def a_cold_one_waits_while_warm_ones_come(self, tenant, tier):
        cold, warm = FILES
        self._come(tenant, tier, (cold,))
        for _ in range(WINDOW + 1):
            self._come(tenant, tier, (warm,))
            self._serve(Offer(ADA, 10_000, ALL, frozenset({warm})))

    @rule(seconds=st.integers(1, 100))
    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data):
        gone = data.draw(st.sampled_from(self.waiting))
        self.room.remove(gone.key)
        self.room.remove(gone.key)
        self.waiting.remove(gone)

    @precondition(lambda self: self.waiting)
    @rule(rivals=st.integers(1, 3))
    def nobody_starves_however_many_better_ones_come(self, rivals):
        oldest = self.waiting[0]
        # Whoever was there before, twice over for the turns, and all rivals that come while the
        # longest head start lasts; later ones count as queued behind.
        lasts = int(HEAD_START_SECONDS["enterprise"]) // STEP_SECONDS
        bound = 2 * len(self.waiting) + rivals * (lasts + 2)
        for turn in range(bound):
            for rival in range(rivals):
                self._come(f"rival-{turn}-{rival}", "enterprise", ())
            self._serve(Offer(ADA, 10_000, ALL))
            self.now += timedelta(seconds=STEP_SECONDS)
            if oldest.prompt_id in self.leased:
                break
        assert oldest.prompt_id in self.leased
        for waiting in [w for w in self.waiting if w.tenant.startswith("rival")]:
            self.room.remove(waiting.key)
            self.waiting.remove(waiting)

    @invariant()
    def the_room_holds_whoever_waits(self):
        assert {one.prompt_id for one in self.room} == {one.prompt_id for one in self.waiting}
        assert len(self.room) == len(self.waiting)
        for tenant in ("t1", "t2", "t3"):
            mine = [one for one in self.waiting if one.tenant == tenant]
            assert self.room.waiting_of(tenant) == len(mine)

    @invariant()
    def nobody_is_leased_twice(self):
        assert len(set(self.leased)) == len(self.leased)

    def _come(self, tenant: str, tier: str, needs: tuple[str, ...], vram_mib: int = 0) -> None:
        self.number += 1
        waiting = Waiting(f"p{self.number}", tenant, tier, self.number, self.now, vram_mib, needs)
        self.room.add(waiting)
        self.room.add(waiting)
        self.waiting.append(waiting)

    def _serve(self, offer: Offer) -> None:
        """Let a worker ask, and hold what it gets against the rules."""
        picked = self.room.pick(offer)
        fitting = [one for one in self.waiting if offer.fits(one)]
        assert (picked is None) == (not fitting)
        if picked is None:
            return
        assert picked in fitting
        self._is_of_the_tier_that_waits_longest(picked, fitting)
        self._is_first_of_its_line_or_warm(picked, offer)
        self.room.take(picked, self.now)
        self.waiting.remove(picked)
        self.leased.append(picked.prompt_id)

    def _is_of_the_tier_that_waits_longest(self, picked: Waiting, fitting: list[Waiting]) -> None:
        def counted(one: Waiting) -> tuple[object, int]:
            return one.since - timedelta(seconds=HEAD_START_SECONDS[one.tier]), one.number

        assert picked.tier == min(fitting, key=counted).tier

    def _is_first_of_its_line_or_warm(self, picked: Waiting, offer: Offer) -> None:
        line = [o for o in self.waiting if (o.tenant, o.tier) == (picked.tenant, picked.tier)]
        before = line[: line.index(picked)]
        could = [one for one in before if offer.fits(one)]
        if could:
            assert picked.needs
            assert offer.warm.issuperset(picked.needs)
            assert not offer.warm.issuperset(could[0].needs)
            assert len(before) < WINDOW
            assert all(self.overtaken.get(one.prompt_id, 0) < WINDOW - 1 for one in before)
        for one in before:
            self.overtaken[one.prompt_id] = self.overtaken.get(one.prompt_id, 0) + 1


class BoardMachine(RuleBasedStateMachine):
    """The model: each prompt is new, waiting, being granted, leased to somebody, or over."""

    prompts = st.sampled_from(["p1", "p2", "p3"])

    def __init__(self) -> None:
        super().__init__()
        self.board = Board(Fleet(10, NOON))
        self.at: dict[str, str] = {}
        self.holder: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.log: list[Recorded[Event]] = []

    @rule(prompt=prompts)
    def accept(self, prompt):
        if prompt in self.at:
            return
        for event in EVERYTHING_GOOD:
            self._write(prompt, event)
        self.attempts[prompt] = 0
        number = len(self.at) + 1
        self._write(prompt, RunQueued(prompt_id="p1", number=number, tier="free", account="u1"))
        self.at[prompt] = "waiting"

    @rule()
    def match(self):
        picked = self.board.room.pick(Offer(ADA, 8192))
        waiting = [prompt for prompt, place in self.at.items() if place == "waiting"]
        assert (picked.prompt_id if picked else None) == (waiting[0] if waiting else None)
        if picked is not None:
            self.board.granting.add(picked.key)
            self.board.room.take(picked, NOON)
            self.at[picked.prompt_id] = "granting"

    @rule(prompt=prompts, worker_id=st.sampled_from([ADA, BOB]), works=st.booleans())
    def grant(self, prompt, worker_id, works):
        if self.at.get(prompt) != "granting":
            return
        if works:
            self.attempts[prompt] += 1
            self._write(prompt, lease(self.attempts[prompt], worker_id))
            self.holder[prompt] = worker_id
        self.at[prompt] = "leased" if works else "waiting"
        self.board.granting.discard(("t", prompt))
        self.board.place(self.board.stories["t", prompt])

    @rule(prompt=prompts)
    def expire(self, prompt):
        if self.at.get(prompt) == "leased":
            worker_id = self.holder.pop(prompt)
            self._write(prompt, expired(self.attempts[prompt], worker_id=worker_id))
            self.at[prompt] = "waiting"

    @rule(prompt=prompts)
    def end(self, prompt):
        if self.at.get(prompt) in ("waiting", "leased"):
            self._write(prompt, ended("cancelled", self.attempts[prompt]))
            self.holder.pop(prompt, None)
            self.at[prompt] = "over"

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def hear_again(self, data):
        self.board.apply(data.draw(st.sampled_from(self.log)))

    @invariant()
    def who_waits_is_in_the_room_and_nobody_else(self):
        waiting = {prompt for prompt, place in self.at.items() if place == "waiting"}
        assert {one.prompt_id for one in self.board.room} == waiting

    @invariant()
    def who_holds_a_lease_is_known_and_nobody_else(self):
        held = {who: {one for _, one in keys} for who, keys in self.board.holders.items()}
        expected: dict[str, set[str]] = {}
        for prompt, who in self.holder.items():
            expected.setdefault(who, set()).add(prompt)
        assert held == expected

    def _write(self, prompt: str, event: Event) -> None:
        event = event.model_copy(update={"prompt_id": prompt})
        recorded = Recorded(
            event=event,
            event_id=f"e{len(self.log)}",
            seq=len(self.log) + 1,
            subject="",
            tenant="t",
            time=NOON,
            source="",
            causation_id="",
            correlation_id=prompt,
            traceparent="",
            payload=b"",
        )
        self.log.append(recorded)
        self.board.apply(recorded)


RoomMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
BoardMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestRoomMachine = RoomMachine.TestCase
TestBoardMachine = BoardMachine.TestCase
