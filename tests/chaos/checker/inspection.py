"""All checks in a row."""

from __future__ import annotations

from tests.chaos.checker.archive import check_chain, check_stream
from tests.chaos.checker.ends import check_ends, check_receipts
from tests.chaos.checker.evidence import Breach, Evidence
from tests.chaos.checker.folding import check_read_models
from tests.chaos.checker.money import check_money
from tests.chaos.checker.outputs import check_outputs, check_walls

ENDED_SECONDS_MAX = 180.0


def inspect(evidence: Evidence, ended_seconds_max: float = ENDED_SECONDS_MAX) -> list[Breach]:
    """Return every broken promise that the evidence shows; an empty list is what we want."""
    return [
        *check_receipts(evidence),
        *check_ends(evidence, ended_seconds_max),
        *check_money(evidence),
        *check_outputs(evidence),
        *check_walls(evidence),
        *check_chain(evidence),
        *check_stream(evidence),
        *check_read_models(evidence),
    ]
