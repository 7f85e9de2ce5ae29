"""How a step is made: each sampler walks a latent down a row of noise levels.

A sampler is one function of (denoise, x, sigmas, noise), where `denoise(x, sigma)` returns the
picture that the network sees in `x`. The formulas are those of Karras et al. (2022), Lu et al.
(2022, DPM-Solver++), Liu et al. (2022, multistep) and Luo et al. (2023, LCM).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from scipy.integrate import quad
from torch import Tensor

from libs.diffusion.sampling.noise import StepNoise

Denoise = Callable[[Tensor, Tensor], Tensor]
LMS_ORDER = 4
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


def dpm_2_ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: StepNoise) -> Tensor:
    """Follow the slope in the middle of a step that goes too far, and add fresh noise."""
    for here, there in pairwise(sigmas):
        down, up = ancestral_split(here, there)
        slope = (x - denoise(x, here)) / here
        if down > 0:
            middle = here.log().lerp(down.log(), 0.5).exp()
            halfway = x + slope * (middle - here)
            slope = (halfway - denoise(halfway, middle)) / middle
        x = x + slope * (down - here)
        if there > 0:
            x = x + noise.draw(x) * up
    return x


def lms(denoise: Denoise, x: Tensor, sigmas: Tensor, _noise: StepNoise) -> Tensor:
    """Follow the polynomial through the last four slopes."""
    levels = sigmas.double().tolist()
    slopes: list[Tensor] = []
    for at, here in enumerate(sigmas[:-1]):
        slopes = [*slopes[1 - LMS_ORDER :], (x - denoise(x, here)) / here]
        order = len(slopes)
        for back, slope in enumerate(reversed(slopes)):
            x = x + _multistep_share(order, levels, at, back) * slope
    return x


def _multistep_share(order: int, levels: list[float], at: int, back: int) -> float:
    """Return what the slope `back` steps ago contributes: its Lagrange polynomial's integral."""
    others = [levels[at - number] for number in range(order) if number != back]

    def share(level: float) -> float:
        return prod((level - other) / (levels[at - back] - other) for other in others)

    return float(quad(share, levels[at], levels[at + 1], epsrel=1e-4)[0])


def dpmpp_2s_ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: StepNoise) -> Tensor:
    """Step exactly for the picture seen half-way, too far, and add fresh noise."""
    for here, there in pairwise(sigmas):
        down, up = ancestral_split(here, there)
        seen = denoise(x, here)
        if down == 0:
            x = x + (x - seen) / here * (down - here)
        else:
            time, stride = -here.log(), here.log() - down.log()
            middle = (-(time + 0.5 * stride)).exp()
            halfway = (middle / here) * x - (-stride * 0.5).expm1() * seen
            x = (down / here) * x - (-stride).expm1() * denoise(halfway, middle)
        if there > 0:
            x = x + noise.draw(x) * up
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


def ddpm(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: StepNoise) -> Tensor:
    """Walk the chain that the network was trained on backwards (Ho et al. 2020, algorithm 2)."""
    for here, there in pairwise(sigmas):
        guess = (x - denoise(x, here)) / here
        signal, signal_there = 1 / (here**2 + 1), 1 / (there**2 + 1)
        alpha = signal / signal_there
        scaled = x / torch.sqrt(1.0 + here**2)
        scaled = (1.0 / alpha).sqrt() * (scaled - (1 - alpha) * guess / (1 - signal).sqrt())
        if there > 0:
            spread = ((1 - alpha) * (1.0 - signal_there) / (1.0 - signal)).sqrt()
            scaled = scaled + spread * noise.draw(x)
        x = scaled * torch.sqrt(1.0 + there**2)
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
    "dpm_2_ancestral": Sampler(dpm_2_ancestral, skips_penultimate=True),
    "lms": Sampler(lms),
    "dpmpp_2s_ancestral": Sampler(dpmpp_2s_ancestral),
    "dpmpp_2m": Sampler(dpmpp_2m),
    "ddpm": Sampler(ddpm),
    "lcm": Sampler(lcm),
    # In this formulation DDIM without noise is Euler.
    "ddim": Sampler(euler, redraws_mask_noise=True),
}
