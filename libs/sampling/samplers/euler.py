"""One look per step: Euler, its ancestral kin, and chains walked backwards.

Karras et al. (2022), Ho et al. (2020), Luo et al. (2023), Permenter and Yuan (2024, gradient
estimation), Chung et al. (2024, CFG++).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from libs.core.errors import Refused
from libs.sampling.levels import Array
from libs.sampling.samplers.trail import Trail, added_split, root, split, toward

SIDE_CELLS_MAX: Final = 2048


def euler(trail: Trail, x: Array) -> Array:
    """Follow the slope."""
    for here, there in trail.steps():
        x = toward(x, trail.denoise(x, here), here, there)
    return x


def euler_ancestral(trail: Trail, x: Array, *, eta: float = 1.0, s_noise: float = 1.0) -> Array:
    """Follow the slope a bit too far, and add fresh noise."""
    draw = trail.draws(x)
    for here, there in trail.steps():
        seen = trail.denoise(x, here)
        if there == 0:
            x = seen
            continue
        step = split(trail, here, there, eta)
        x = toward(x, seen, here, step.down)
        if eta > 0:
            x = x * step.keep + draw() * (s_noise * step.up)
    return x


def euler_cfg_pp(trail: Trail, x: Array) -> Array:
    """Follow the slope that is seen without the text, from the picture seen with it."""
    return euler_ancestral_cfg_pp(trail, x, eta=0.0)


def euler_ancestral_cfg_pp(
    trail: Trail, x: Array, *, eta: float = 1.0, s_noise: float = 1.0
) -> Array:
    """Put the picture under the noise seen without the text, and under fresh noise."""
    adds = eta > 0 and s_noise > 0
    trail = trail.short_of_noise() if adds else trail
    draw = trail.draws(x)
    for here, there in trail.steps():
        seen, without = trail.denoise.both(x, here)
        if there == 0:
            x = seen
            continue
        signal, signal_there = trail.signal(here), trail.signal(there)
        noise = (x - without * signal) / here
        if not adds:
            x = seen * signal_there + noise * there
            continue
        step = added_split(here / signal, there / signal_there, eta)
        x = (seen + noise * step.down + draw() * (s_noise * step.up)) * signal_there
    return x


def gradient_estimation(trail: Trail, x: Array, *, ge_gamma: float = 2.0) -> Array:
    """Follow the slope, and a part of how it changed since the last step."""
    before: Array | None = None
    for here, there in trail.steps():
        seen = trail.denoise(x, here)
        slope = (x - seen) / here
        x = seen if there == 0 else x + slope * (there - here)
        if before is not None and there > 0:
            x = x + (slope - before) * ((ge_gamma - 1) * (there - here))
        before = slope
    return x


def gradient_estimation_cfg_pp(trail: Trail, x: Array, *, ge_gamma: float = 2.0) -> Array:
    """Do the same with the slope that is seen without the text."""
    before: Array | None = None
    for here, there in trail.steps():
        seen, without = trail.denoise.both(x, here)
        slope = (x - without) / here
        x = seen + slope * there
        if before is not None and there > 0:
            x = x + (slope - before) * ((ge_gamma - 1) * (there - here))
        before = slope
    return x


def ddpm(trail: Trail, x: Array) -> Array:
    """Walk the chain that the network was trained on backwards (Ho et al. 2020, algorithm 2)."""
    draw = trail.draws(x)
    for here, there in trail.steps():
        guess = (x - trail.denoise(x, here)) / here
        signal, signal_there = 1 / (here**2 + 1), 1 / (there**2 + 1)
        alpha = signal / signal_there
        x = x / math.sqrt(1.0 + here**2)
        x = (x - guess * ((1 - alpha) / math.sqrt(1 - signal))) * math.sqrt(1.0 / alpha)
        if there > 0:
            spread = root((1 - alpha) * (1.0 - signal_there) / (1.0 - signal))
            x = x + draw() * spread
        x = x * math.sqrt(1.0 + there**2)
    return x


def lcm(trail: Trail, x: Array) -> Array:
    """Take the picture as it is seen, and put it under the next, lower noise."""
    draw = trail.draws(x)
    for here, there in trail.steps():
        x = trail.denoise(x, here)
        if there > 0:
            x = trail.levels.noised(x, draw(), there, full=False)
    return x


def lcm_upscale(
    trail: Trail,
    x: Array,
    *,
    upscale: float = 2.0,
    upscale_steps: int | None = None,
    upscale_method: str = "bislerp",
) -> Array:
    """Do LCM, and enlarge the picture that is seen evenly over the first steps."""
    if trail.resize is None:
        raise Refused("this engine scales no latents while it samples", field="sampler_name")
    count = len(trail.sigmas)
    steps = max(count // 2 + 1, 2) if upscale_steps is None else min(upscale_steps + 1, count + 1)
    factors = np.linspace(1.0, upscale, steps)[1:]
    rows, columns = x.shape[-2:]
    if max(rows, columns) * upscale > SIDE_CELLS_MAX:
        raise Refused(
            "the latent would become too large",
            field="scale_ratio",
            received=upscale,
            side_cells=max(rows, columns),
            maximum_cells=SIDE_CELLS_MAX,
        )
    for at, (here, there) in enumerate(trail.steps()):
        x = trail.denoise(x, here)
        if at < len(factors):
            size = (round(rows * factors[at]), round(columns * factors[at]))
            x = trail.resize(x, upscale_method, size)
        if there > 0:
            # A stream is of one size; each step has a seed of its own.
            x = x + trail.noise.starting(x, trail.seed + 1 + at) * there
    return x
