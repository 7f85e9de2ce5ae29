"""A short run of chaos: a handful of faults under load, and the whole checker afterwards."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.chaos.checker.evidence import of_type
from tests.chaos.checker.inspection import inspect
from tests.chaos.course import Plan, run
from tests.chaos.ground import prepared
from tests.chaos.proofs import check_proofs
from tests.chaos.report import Report

SEED = 35
FAULTS = ("worker.zombie", "gateway.kill-unanswered", "nats.kill", "postgres.kill", "s3.kill")


@pytest.mark.covers("R395", "P09")
@pytest.mark.timeout(600)
async def test_a_house_that_is_harmed_under_load_loses_nothing_and_charges_nobody_twice(
    tmp_path: Path,
):
    plan = Plan(SEED, seconds=25, names=FAULTS, rounds=1)
    async with prepared(tmp_path / "home", Random(SEED)) as ground:
        course, evidence = await run(ground, plan, lambda _what: None)
        breaches = [*inspect(evidence), *check_proofs(ground.house)]
    assert breaches == []
    assert [strike.trouble for strike in course.strikes] == [""] * len(FAULTS)
    expired = [story for story in evidence.stories.values() if of_type(story, "LeaseExpired")]
    assert expired, "the frozen worker kept its lease"
    figures = Report(course, evidence, breaches).totals()
    assert figures["accepted"] == figures["ended"]
    assert figures["outcomes"]["succeeded"] > len(FAULTS)
    assert figures["lost_answers_retried"] > 0
    assert figures["files_served_and_compared"] >= figures["outcomes"]["succeeded"]
