"""A bug of each kind that is feared is planted, and the seeded layer finds it."""

from __future__ import annotations

import pytest

from tests.chaos.seeded.checker import breaches
from tests.chaos.seeded.planted import BUGS
from tests.chaos.seeded.story import tell

SEEDS_MAX = 40


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name):
    bug = BUGS[name]
    found: set[str] = set()
    for seed in range(bug.first_seed, bug.first_seed + SEEDS_MAX):
        with bug.plant():
            found |= {breach.invariant for breach in breaches(tell(seed))}
        if found & bug.breaks:
            return
    pytest.fail(f"{name}: {SEEDS_MAX} seeds found only {sorted(found)}")
