"""Which noise levels a course goes through, and how it starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from libs.core.errors import Refused
from libs.sampling.levels import Levels, sigma_max
from libs.sampling.samplers import SAMPLERS, Sampler
from libs.sampling.schedules import SCHEDULES, Schedule

FULL_DENOISE = 0.9999
SIGMA_MAX_TOLERANCE = 1e-5
LEVELS_MAX = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Course:
    """The steps to walk, as a node asks for them."""

    seed: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float = 1.0
    add_noise: bool = True
    first_step: int = 0
    last_step: int = 10_000
    keep_noise: bool = False

    def sampler_type(self) -> Sampler:
        """Return the sampler by its name."""
        return sampler_named(self.sampler)

    def sigmas(self, levels: Levels) -> list[float]:
        """Return the noise levels from start to end; fewer than two if nothing is to be done."""
        cut = denoised_levels(lambda steps: self._levels(levels, steps), self.steps, self.denoise)
        if self.last_step < len(cut) - 1:
            cut = cut[: self.last_step + 1]
            if not self.keep_noise:
                cut[-1] = 0.0
        return cut[self.first_step :] if self.first_step < len(cut) - 1 else []

    def _levels(self, levels: Levels, steps: int) -> list[float]:
        schedule = schedule_named(self.scheduler)
        if not self.sampler_type().skips_penultimate:
            return schedule(levels, steps)
        sigmas = schedule(levels, steps + 1)
        return [*sigmas[:-2], *sigmas[-1:]]


def denoised_levels(
    levels: Callable[[int], list[float]], steps: int, denoise: float
) -> list[float]:
    """Return the levels of a course, of a longer one's end if it denoises only in part."""
    if denoise > FULL_DENOISE:
        # Some schedules hold more levels than steps + 1; a full course walks them all.
        return levels(steps)
    return part_of_schedule(levels, steps, denoise)


def part_of_schedule(
    levels: Callable[[int], list[float]], steps: int, denoise: float
) -> list[float]:
    """Return the last levels of so long a schedule that `steps` are that part of it."""
    if denoise <= 0:
        return []
    longer = int(steps / denoise) if denoise < 1 else steps
    if longer > LEVELS_MAX:
        raise Refused(
            "so little denoise over so many steps cannot be laid out",
            field="denoise",
            received=denoise,
            levels=longer,
            maximum=LEVELS_MAX,
        )
    return levels(longer)[-(steps + 1) :]


def schedule_named(name: str) -> Schedule:
    """Return a schedule by its name."""
    if name not in SCHEDULES:
        raise Refused("there is no such scheduler", field="scheduler", received=name)
    return SCHEDULES[name]


def sampler_named(name: str) -> Sampler:
    """Return a sampler by its name."""
    if name not in SAMPLERS:
        raise Refused("there is no such sampler", field="sampler_name", received=name)
    return SAMPLERS[name]


def starts_from_pure_noise(levels: Levels, sigma: float) -> bool:
    """Say whether a course that begins at `sigma` is a whole one."""
    highest = sigma_max(levels)
    return sigma > highest or math.isclose(highest, sigma, rel_tol=SIGMA_MAX_TOLERANCE)
