"""One look per step: Euler, its ancestral kin, and chains walked backwards.

Karras et al. (2022), Ho et al. (2020), Luo et al. (2023).
"""

from __future__ import annotations

import math

from libs.sampling.levels import Array
from libs.sampling.samplers.trail import Trail, split, toward


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
            spread = math.sqrt((1 - alpha) * (1.0 - signal_there) / (1.0 - signal))
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
