"""DPM-Solver++ for the stochastic equation, along one Brownian path (Lu et al. 2022)."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from libs.sampling.levels import Array
from libs.sampling.noise import Between
from libs.sampling.samplers.trail import Trail, added_split, root, toward

Solver: TypeAlias = Literal["midpoint", "heun"]


def dpmpp_sde(
    trail: Trail,
    x: Array,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
    on_cpu: bool = True,
) -> Array:
    """Look again a part `r` of the step ahead, and step for a mean of both pictures."""
    between = trail.brownian(x, on_cpu=on_cpu)
    trail = trail.short_of_noise()
    adds = eta > 0 and s_noise > 0
    later = 1 / (2 * r)
    for here, there in trail.steps():
        seen = trail.denoise(x, here)
        if there == 0:
            x = seen
            continue
        middle = trail.part_way(here, there, r)
        halfway, up = _stepped(trail, x, seen, (here, middle), eta)
        if adds:
            halfway = halfway + between(here, middle) * (s_noise * up)
        mean = seen * (1 - later) + trail.denoise(halfway, middle) * later
        x, up = _stepped(trail, x, mean, (here, there), eta)
        if adds:
            x = x + between(here, there) * (s_noise * up)
    return x


def _stepped(
    trail: Trail, x: Array, seen: Array, step: tuple[float, float], eta: float
) -> tuple[Array, float]:
    """Return the latent before its fresh noise, and how much of that it wants."""
    here, there = step
    signal, signal_there = trail.signal(here), trail.signal(there)
    split = added_split(here / signal, there / signal_there, eta)
    clean = toward(x / signal, seen, here / signal, split.down)
    return clean * signal_there, split.up * signal_there


def dpmpp_2m_sde(
    trail: Trail,
    x: Array,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: Solver = "midpoint",
    on_cpu: bool = True,
) -> Array:
    """Step for a picture that goes on changing as it did in the last step."""
    between = trail.brownian(x, on_cpu=on_cpu)
    trail = trail.short_of_noise()
    before: Array | None = None
    stride_before = 0.0
    for here, there in trail.steps():
        seen = trail.denoise(x, here)
        if there == 0:
            return seen
        stride = trail.log_snr(there) - trail.log_snr(here)
        reach, signal = stride * (eta + 1), trail.signal(there)
        gone = -math.expm1(-reach)
        x = x * (there / here * math.exp(-stride * eta)) + seen * (signal * gone)
        if before is not None:
            share = 1 - gone / reach if solver_type == "heun" else gone / 2
            x = x + (seen - before) * (signal * share * stride / stride_before)
        x = _noisier(x, between, (here, there), stride * eta, s_noise)
        before, stride_before = seen, stride
    return x


def dpmpp_3m_sde(
    trail: Trail, x: Array, *, eta: float = 1.0, s_noise: float = 1.0, on_cpu: bool = True
) -> Array:
    """Step for a picture whose change changes as in the last two steps."""
    between = trail.brownian(x, on_cpu=on_cpu)
    trail = trail.short_of_noise()
    pictures: list[Array] = []
    strides: list[float] = []
    for here, there in trail.steps():
        seen = trail.denoise(x, here)
        if there == 0:
            return seen
        stride = trail.log_snr(there) - trail.log_snr(here)
        reach, signal = stride * (eta + 1), trail.signal(there)
        x = x * (there / here * math.exp(-stride * eta)) - seen * (signal * math.expm1(-reach))
        second = math.expm1(-reach) / reach + 1
        if len(pictures) == 1:
            x = x + (seen - pictures[-1]) * (signal * second * stride / strides[-1])
        elif pictures:
            one, two = strides[-1] / stride, strides[-2] / stride
            slope = (seen - pictures[-1]) / one
            bend = (slope - (pictures[-1] - pictures[-2]) / two) / (one + two)
            third = second / reach - 0.5
            x = x + (slope + bend * one) * (signal * second) - bend * (signal * third)
        x = _noisier(x, between, (here, there), stride * eta, s_noise)
        pictures, strides = [*pictures[-1:], seen], [*strides[-1:], stride]
    return x


def _noisier(
    x: Array, between: Between, step: tuple[float, float], reach: float, s_noise: float
) -> Array:
    if reach <= 0 or s_noise <= 0:
        return x
    return x + between(*step) * (step[1] * root(-math.expm1(-2 * reach)) * s_noise)
