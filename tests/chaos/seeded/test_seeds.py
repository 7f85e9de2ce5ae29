"""The house under fire in virtual time: what a seed tells, it tells again, and nothing is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from libs.events.run import LeaseExpired, RunEnded
from tests.architecture.tree import ROOT
from tests.chaos.seeded.checker import breaches
from tests.chaos.seeded.story import Told, tell

SEEDS = int(os.environ.get("STUDIO_SEEDS", "60"))


def complaint(told: Told) -> str:
    """Return what is broken, how it came about, and the command that shows it again."""
    broken = "\n".join(str(breach) for breach in breaches(told))
    story = "\n".join(told.tale)
    again = f"python -m tests.chaos.seeded {told.seed}"
    return f"\n{broken}\n\nseed {told.seed}; again: {again}\n{story}"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_every_promise_holds(seed):
    told = tell(seed)
    assert not breaches(told), complaint(told)


def test_the_same_seed_tells_the_same_story():
    first, second = tell(7), tell(7)
    assert first.digest == second.digest
    assert first.tale == second.tale
    assert first.digest != tell(8).digest


def test_a_seed_tells_the_same_story_in_every_process_and_on_every_machine():
    """A clock that begins with the machine must not matter: some were started just now."""
    program = (
        "import sys, time; up = float(sys.argv[1]); time.monotonic = lambda: up;"
        "from tests.chaos.seeded.story import tell; print(tell(58).digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program, up_seconds],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed, up_seconds in (("1", "10"), ("2", "10000000"))
    }
    assert len(digests) == 1


def test_the_stories_are_not_harmless():
    told = [tell(seed) for seed in range(6)]
    outcomes = Counter(
        one.event.outcome
        for story in told
        for one in story.recorded
        if isinstance(one.event, RunEnded)
    )
    expired = [one for s in told for one in s.recorded if isinstance(one.event, LeaseExpired)]
    statuses = {status for s in told for wish in s.wishes for _, status, _ in wish.answers}
    assert set(outcomes) >= {"succeeded", "failed", "blocked", "cancelled"}
    assert expired
    assert {0, 200, 503} <= statuses
    assert any("between an append and its answer" in line for s in told for line in s.tale)
    assert any("claim lapses" in line for s in told for line in s.tale)
