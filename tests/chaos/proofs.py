"""The product's own proofs beside the checker's: `studio audit` must find everything sound."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.checker.evidence import Breach
from tests.e2e.houses import House

PROOFS = {"verify": "I6", "rebuild": "I4"}


def check_proofs(house: House) -> Iterator[Breach]:
    """Have the archive verified, and the read models built anew and compared by their digests."""
    for command, invariant in PROOFS.items():
        told = house.studio("audit", command)
        if told.returncode:
            what = f"`studio audit {command}` says: {told.stdout[-1500:]}{told.stderr[-1500:]}"
            yield Breach(invariant, "broken", what)
