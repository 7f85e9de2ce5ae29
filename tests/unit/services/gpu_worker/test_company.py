"""How many leases a worker holds, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from services.gpu_worker import company


@dataclass(frozen=True)
class Job:
    """A job in hand."""

    wish: str = "fast"
    computed: bool = False
    needs: tuple[str, ...] = ("a",)
    vram_mib: int = 7


FAST, EXACT, UNKNOWN = Job(), Job("exact"), Job("")
MADE, EXACTLY_MADE = Job(computed=True, needs=("b",)), Job("exact", computed=True)


@pytest.mark.parametrize(
    ("jobs", "runs_max", "room"),
    [
        ([FAST], 1, False),
        ([FAST], 2, True),
        ([EXACT], 2, False),
        ([UNKNOWN], 2, False),
        ([MADE], 1, True),
        ([EXACTLY_MADE], 1, True),
        ([MADE, FAST], 1, False),
        ([MADE, MADE], 1, False),
        ([EXACTLY_MADE, FAST], 2, True),
        ([MADE, EXACT], 2, False),
        ([MADE, FAST, FAST], 2, False),
        ([MADE, MADE, FAST], 2, False),
    ],
)
def test_one_whose_files_are_made_leaves_its_place_to_one_other(jobs, runs_max, room):
    assert company.has_room(jobs, runs_max, overlaps=True) is room


def test_without_overlap_every_run_in_hand_has_a_place():
    assert not company.has_room([MADE], 1, overlaps=False)
    assert company.has_room([MADE], 2, overlaps=False)


def test_the_next_run_has_only_those_beside_it_that_compute():
    told = company.beside([MADE, FAST, FAST])
    assert told == {"beside": 2, "beside_vram_mib": 7, "beside_weights": ("a",)}
    assert company.beside([MADE])["beside"] == 0


def test_what_was_computed_last_is_warm():
    assert company.warm([MADE, FAST], ("before",)) == ("b",)
    assert company.warm([FAST], ("before",)) == ("before",)
