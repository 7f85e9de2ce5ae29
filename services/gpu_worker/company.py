"""Which leases a worker holds at once: those that compute, and those whose files are being made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Protocol

from libs.core.jsonvalue import Json
from libs.core.profiles import FAST, PROFILES

# Runs whose files are made and stored while the next ones compute; their pictures take memory.
FINISHING_MAX: Final = 1


class Held(Protocol):
    """What is asked of a job in hand."""

    @property
    def wish(self) -> str:
        """The profile that it is executed in, empty while that is not known."""

    @property
    def computed(self) -> bool:
        """Whether all its nodes were executed, and only files are being made."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The weights that it uses."""

    @property
    def vram_mib(self) -> int:
        """How much memory its weights take."""


def profile_of(extra: Json, default: str) -> str:
    """Return the profile that a prompt asks for, the worker's if it asks for none."""
    wish = extra.get("profile") if isinstance(extra, dict) else None
    return wish if isinstance(wish, str) and wish in PROFILES else default


def has_room(jobs: Collection[Held], runs_max: int, *, overlaps: bool) -> bool:
    """Say whether one more run can be executed; an exact one has no company that computes.

    Where runs overlap, one whose files are being made leaves its place to the next.
    """
    computing = [job for job in jobs if not (overlaps and job.computed)]
    if len(computing) >= runs_max or len(jobs) >= runs_max + FINISHING_MAX:
        return False
    return all(job.wish == FAST for job in computing)


def beside(jobs: Collection[Held]) -> Mapping[str, object]:
    """Return what an ask says of the runs beside which the next one would compute."""
    computing = [job for job in jobs if not job.computed]
    return {
        "beside": len(computing),
        "beside_vram_mib": sum({job.needs: job.vram_mib for job in computing}.values()),
        "beside_weights": tuple(sorted({name for job in computing for name in job.needs})),
    }


def warm(jobs: Collection[Held], before: tuple[str, ...]) -> tuple[str, ...]:
    """Return the weights that need no loading: those of the run that was computed last."""
    computed = [job.needs for job in jobs if job.computed]
    return computed[-1] if computed else before
