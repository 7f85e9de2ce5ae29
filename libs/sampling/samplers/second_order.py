"""Two or more looks per step: Heun's and the midpoint methods (Karras et al. 2022)."""

from __future__ import annotations

from libs.sampling.levels import Array
from libs.sampling.samplers.trail import Trail, between, split


def heun(trail: Trail, x: Array) -> Array:
    """Follow the mean of the slopes at both ends of the step."""
    for here, there in trail.steps():
        slope = (x - trail.denoise(x, here)) / here
        ahead = x + slope * (there - here)
        if there > 0:
            slope = (slope + (ahead - trail.denoise(ahead, there)) / there) / 2
            ahead = x + slope * (there - here)
        x = ahead
    return x


def heunpp2(trail: Trail, x: Array) -> Array:
    """Follow a mean of the slopes at up to three levels, the noisier the heavier later ones.

    Later slopes count by their level's part of the highest; the last step is Euler's, the one
    before looks one level ahead, all others two.
    """
    last = len(trail.sigmas) - 1
    for at, (here, there) in enumerate(trail.steps()):
        slope = (x - trail.denoise(x, here)) / here
        ahead = trail.sigmas[at + 1 : min(at + 3, last)]
        whole = (len(ahead) + 1) * trail.sigmas[0]
        mean = slope * (1 - sum(ahead) / whole)
        probe, reached = x + slope * (there - here), there
        for number, level in enumerate(ahead):
            if number:
                probe, reached = probe + slope * (level - reached), level
            slope = (probe - trail.denoise(probe, level)) / level
            mean = mean + slope * (level / whole)
        x = x + mean * (there - here)
    return x


def dpm_2(trail: Trail, x: Array) -> Array:
    """Follow the slope in the middle of the step."""
    for here, there in trail.steps():
        x = _midpoint(trail, x, here, there)
    return x


def dpm_2_ancestral(trail: Trail, x: Array, *, eta: float = 1.0, s_noise: float = 1.0) -> Array:
    """Follow the slope in the middle of a step that goes too far, and add fresh noise."""
    draw = trail.draws(x)
    for here, there in trail.steps():
        step = split(trail, here, there, eta)
        x = _midpoint(trail, x, here, step.down)
        if there > 0:
            x = x * step.keep + draw() * (s_noise * step.up)
    return x


def _midpoint(trail: Trail, x: Array, here: float, there: float) -> Array:
    slope = (x - trail.denoise(x, here)) / here
    if there > 0:
        middle = between(here, there)
        halfway = x + slope * (middle - here)
        slope = (halfway - trail.denoise(halfway, middle)) / middle
    return x + slope * (there - here)
