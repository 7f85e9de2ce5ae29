"""Which noise levels a course goes through, and how it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.sampling.parameterisation import Parameterisation
from libs.diffusion.sampling.samplers import SAMPLERS, Sampler
from libs.diffusion.sampling.schedules import SCHEDULES, Schedule

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
        if self.sampler not in SAMPLERS:
            raise Refused("there is no such sampler", field="sampler_name", received=self.sampler)
        return SAMPLERS[self.sampler]

    def sigmas(self, levels: Parameterisation) -> Tensor:
        """Return the noise levels from start to end; fewer than two if nothing is to be done."""
        cut = self._denoised_levels(levels)
        if self.last_step < len(cut) - 1:
            cut = cut[: self.last_step + 1].clone()
            if not self.keep_noise:
                cut[-1] = 0
        return cut[self.first_step :] if self.first_step < len(cut) - 1 else cut[:0]

    def _denoised_levels(self, levels: Parameterisation) -> Tensor:
        if self.denoise > FULL_DENOISE:
            # Some schedules hold more levels than steps + 1; a full course walks them all.
            return self._levels(levels, self.steps)
        if self.denoise <= 0:
            return torch.zeros(0)
        steps = int(self.steps / self.denoise)
        if steps > LEVELS_MAX:
            raise Refused(
                "so little denoise over so many steps cannot be laid out",
                field="denoise",
                received=self.denoise,
                levels=steps,
                maximum=LEVELS_MAX,
            )
        return self._levels(levels, steps)[-(self.steps + 1) :]

    def _levels(self, levels: Parameterisation, steps: int) -> Tensor:
        schedule = self._schedule()
        if not self.sampler_type().skips_penultimate:
            return schedule(levels, steps)
        sigmas = schedule(levels, steps + 1)
        return torch.cat([sigmas[:-2], sigmas[-1:]])

    def _schedule(self) -> Schedule:
        if self.scheduler not in SCHEDULES:
            raise Refused("there is no such scheduler", field="scheduler", received=self.scheduler)
        return SCHEDULES[self.scheduler]


def starts_from_pure_noise(levels: Parameterisation, sigma: Tensor) -> bool:
    """Say whether a course that begins at `sigma` is a whole one."""
    highest = float(levels.sigma_max)
    return float(sigma) > highest or math.isclose(
        highest, float(sigma), rel_tol=SIGMA_MAX_TOLERANCE
    )
