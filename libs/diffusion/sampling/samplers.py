"""How a step is made: each sampler walks a latent down a row of noise levels.

A sampler is one function of (denoise, x, sigmas, noise), where `denoise(x, sigma)` returns the
picture that the network sees in `x`. The formulas are those of Karras et al. (2022), Lu et al.
(2022, DPM-Solver++) and Luo et al. (2023, LCM).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from libs.diffusion.sampling.noise import StepNoise

Denoise = Callable[[Tensor, Tensor], Tensor]
Walk = Callable[[Denoise, Tensor, Tensor, StepNoise], Tensor]


@dataclass(frozen=True)
class Sampler:
    """A way to step, and what it wants from the course around it.

    `skips_penultimate` takes one level more and leaves the last but one out; `redraws_mask_noise`
    puts the kept part of a masked latent under noise of its own.
    """

    walk: Walk
    skips_penultimate: bool = False
    redraws_mask_noise: bool = False


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, _noise: StepNoise) -> Tensor:
    """Follow the slope."""
    for here, there in pairwise(sigmas):
        x = x + (x - denoise(x, here)) / here * (there - here)
    return x


def euler_ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: StepNoise) -> Tensor:
    """Follow the slope a bit too far, and add fresh noise."""
    for here, there in pairwise(sigmas):
        seen = denoise(x, here)
        if there == 0:
            x = seen
        else:
            down, up = ancestral_split(here, there)
            x = x + (x - seen) / here * (down - here) + noise.draw(x) * up
    return x


def ancestral_split(here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far down to step, and how much noise brings it up to `there` again."""
    up = min(there, (there**2 * (here**2 - there**2) / here**2) ** 0.5)
    return (there**2 - up**2) ** 0.5, up


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor, _noise: StepNoise) -> Tensor:
    """Follow the mean of the slopes at both ends of the step."""
    for here, there in pairwise(sigmas):
        slope = (x - denoise(x, here)) / here
        ahead = x + slope * (there - here)
        if there > 0:
            slope = (slope + (ahead - denoise(ahead, there)) / there) / 2
            ahead = x + slope * (there - here)
        x = ahead
    return x


def dpm_2(denoise: Denoise, x: Tensor, sigmas: Tensor, _noise: StepNoise) -> Tensor:
    """Follow the slope in the middle of the step."""
    for here, there in pairwise(sigmas):
        slope = (x - denoise(x, here)) / here
        if there > 0:
            middle = here.log().lerp(there.log(), 0.5).exp()
            halfway = x + slope * (middle - here)
            slope = (halfway - denoise(halfway, middle)) / middle
        x = x + slope * (there - here)
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, _noise: StepNoise) -> Tensor:
    """Step exactly for a picture that goes on changing as it did in the last step."""
    before: Tensor | None = None
    for at, (here, there) in enumerate(pairwise(sigmas)):
        seen = denoise(x, here)
        time, time_there = here.log().neg(), there.log().neg()
        stride = time_there - time
        expected = seen
        if before is not None and there > 0:
            ratio = (time - sigmas[at - 1].log().neg()) / stride
            expected = (1 + 1 / (2 * ratio)) * seen - (1 / (2 * ratio)) * before
        x = (time_there.neg().exp() / time.neg().exp()) * x - (-stride).expm1() * expected
        before = seen
    return x


def lcm(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: StepNoise) -> Tensor:
    """Take the picture as it is seen, and put it under the next, lower noise."""
    for here, there in pairwise(sigmas):
        x = denoise(x, here)
        if there > 0:
            x = noise.draw(x) * there + x
    return x


SAMPLERS: Mapping[str, Sampler] = {
    "euler": Sampler(euler),
    "euler_ancestral": Sampler(euler_ancestral),
    "heun": Sampler(heun),
    "dpm_2": Sampler(dpm_2, skips_penultimate=True),
    "dpmpp_2m": Sampler(dpmpp_2m),
    "lcm": Sampler(lcm),
    # In this formulation DDIM without noise is Euler.
    "ddim": Sampler(euler, redraws_mask_noise=True),
}
