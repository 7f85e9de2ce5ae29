"""How a step is made: each sampler walks a latent down a row of noise levels.

A sampler is one function of the trail and the latent. It uses operators alone, so that any array
will do, and computes with levels as plain numbers, so that no device is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping

from libs.sampling.samplers.dpmpp import dpmpp_2m, dpmpp_2s_ancestral
from libs.sampling.samplers.euler import ddpm, euler, euler_ancestral, lcm
from libs.sampling.samplers.multistep import lms
from libs.sampling.samplers.second_order import dpm_2, dpm_2_ancestral, heun
from libs.sampling.samplers.trail import Denoise, Sampler, Trail, Walk

__all__ = ["SAMPLERS", "Denoise", "Sampler", "Trail", "Walk"]

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
