"""DPM-Solver++: exact for a picture that stays, or changes as it did (Lu et al. 2022)."""

from __future__ import annotations

import math

from libs.sampling.levels import Array
from libs.sampling.samplers.trail import Trail, added_split, between, split, toward

# Where half-way lies for a flow that starts from nothing but noise.
FIRST_MIDDLE = 0.9999


def dpmpp_2s_ancestral(trail: Trail, x: Array, *, eta: float = 1.0, s_noise: float = 1.0) -> Array:
    """Step exactly for the picture seen half-way, too far, and add fresh noise."""
    draw = trail.draws(x)
    for here, there in trail.steps():
        step = split(trail, here, there, eta)
        seen = trail.denoise(x, here)
        if step.down > 0 and there > 0:
            middle = _middle(trail, here, step.down)
            halfway = toward(x, seen, here, middle)
            seen = trail.denoise(halfway, middle)
        x = toward(x, seen, here, step.down)
        if there > 0 and eta > 0:
            x = x * step.keep + draw() * (s_noise * step.up)
    return x


def _middle(trail: Trail, here: float, there: float) -> float:
    if trail.signal(here) <= 0:
        return FIRST_MIDDLE
    return trail.part_way(here, there, 0.5)


def dpmpp_2m(trail: Trail, x: Array) -> Array:
    """Step exactly for a picture that goes on changing as it did in the last step."""
    before: Array | None = None
    stride_before = 0.0
    for here, there in trail.steps():
        seen = trail.denoise(x, here)
        stride = math.log(here / there) if there > 0 else math.inf
        expected = seen
        if before is not None and there > 0:
            expected = seen + (seen - before) * (stride / (2 * stride_before))
        x = x * (there / here) - expected * math.expm1(-stride)
        before, stride_before = seen, stride
    return x


def dpmpp_2s_ancestral_cfg_pp(
    trail: Trail, x: Array, *, eta: float = 1.0, s_noise: float = 1.0
) -> Array:
    """Do 2S from a latent moved by the guidance (Chung et al. 2024)."""
    draw = trail.draws(x)
    for here, there in trail.steps():
        step = added_split(here, there, eta)
        seen, without = trail.denoise.both(x, here)
        if step.down == 0:
            x = seen
        else:
            middle = between(here, step.down)
            halfway = toward(x, seen, here, middle) + (seen - without) * (middle / here)
            seen_there, without = trail.denoise.both(halfway, middle)
            moved = (seen - without) * (step.down / here)
            x = toward(x, seen_there, here, step.down) + moved
        if there > 0:
            x = x + draw() * (s_noise * step.up)
    return x


def dpmpp_2m_cfg_pp(trail: Trail, x: Array) -> Array:
    """Do 2M with the noise that is seen without the text."""
    before: Array | None = None
    stride_before = 0.0
    for here, there in trail.steps():
        seen, without = trail.denoise.both(x, here)
        stride = math.log(here / there) if there > 0 else math.inf
        moved = seen
        if before is not None and there > 0:
            change = -math.expm1(-stride) * stride / (2 * stride_before)
            moved = moved + (seen - before) * change
        x = moved + (x - without) * (there / here)
        before, stride_before = without, stride
    return x
