"""One course from noise to latent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from libs.diffusion.sampling.course import Course, starts_from_pure_noise
from libs.diffusion.sampling.noise import StepNoise, starting_noise
from libs.diffusion.sampling.parameterisation import Parameterisation
from libs.diffusion.sampling.samplers import Denoise

OnSeen = Callable[[int, int, Tensor], None]


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a course starts from: scaled latents where they will be computed, and the mask.

    The mask is 1 where the sampler may paint, in cells, or None for everywhere.
    """

    latent: Tensor
    mask: Tensor | None
    compatibility: int


def walk(
    course: Course, start: Start, levels: Parameterisation, denoise: Denoise, on_seen: OnSeen
) -> Tensor | None:
    """Walk the course and return the latent at its end, None if there is nothing to walk.

    `on_seen` hears after each step: how many are done, of how many, and the picture seen.
    """
    sigmas = course.sigmas(levels)
    if len(sigmas) == 0:
        return None
    latent = start.latent
    noise = starting_noise(latent, course.seed) if course.add_noise else torch.zeros(latent.shape)
    noise = noise.to(latent.device)
    sampler = course.sampler_type()
    if start.mask is not None:
        around = noise
        if sampler.redraws_mask_noise:
            around = starting_noise(latent, course.seed + 1).to(latent.device)
        denoise = _inside(start.mask, latent, around, levels, denoise)
    x = levels.noised(latent, noise, sigmas[0], full=starts_from_pure_noise(levels, sigmas[0]))
    step_noise = StepNoise(course.seed, latent.device, start.compatibility)
    return sampler.walk(_heard(denoise, sigmas, on_seen), x, sigmas, step_noise)


def mask_in_cells(mask: Tensor, latent: Tensor) -> Tensor:
    """Return a mask [count, height, width] in the shape of the latent."""
    rows, columns = latent.shape[-2:]
    cells = functional.interpolate(mask[:, None], size=(rows, columns), mode="bilinear")
    if cells.shape[0] < latent.shape[0]:
        times = -(-latent.shape[0] // cells.shape[0])
        cells = cells.repeat(times, 1, 1, 1)
    return cells[: latent.shape[0]].expand_as(latent)


def _inside(
    mask: Tensor, kept: Tensor, noise: Tensor, levels: Parameterisation, denoise: Denoise
) -> Denoise:
    """Let the denoiser see the kept part as it should be at each level, and change only the rest."""

    def masked(x: Tensor, sigma: Tensor) -> Tensor:
        x = x * mask + levels.noised(kept, noise, sigma, full=False) * (1 - mask)
        return denoise(x, sigma) * mask + kept * (1 - mask)

    return masked


def _heard(denoise: Denoise, sigmas: Tensor, on_seen: OnSeen) -> Denoise:
    """Report once per level of the course, however often a sampler looks in between."""
    total = len(sigmas) - 1
    done = 0

    def heard(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal done
        seen = denoise(x, sigma)
        if done < total and sigma == sigmas[done]:
            done += 1
            on_seen(done, total, seen)
        return seen

    return heard
