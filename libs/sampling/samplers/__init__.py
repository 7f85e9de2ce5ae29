"""How a step is made: each sampler walks a latent down a row of noise levels.

A sampler is one function of the trail and the latent. It uses operators alone, so that any array
will do, and computes with levels as plain numbers, so that no device is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from libs.sampling.samplers.adams import sa_solver, uni_pc
from libs.sampling.samplers.dpm_solver import dpm_adaptive, dpm_fast
from libs.sampling.samplers.dpmpp import (
    dpmpp_2m,
    dpmpp_2m_cfg_pp,
    dpmpp_2s_ancestral,
    dpmpp_2s_ancestral_cfg_pp,
)
from libs.sampling.samplers.dpmpp_sde import dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde
from libs.sampling.samplers.euler import (
    ddpm,
    euler,
    euler_ancestral,
    euler_ancestral_cfg_pp,
    euler_cfg_pp,
    gradient_estimation,
    gradient_estimation_cfg_pp,
    lcm,
)
from libs.sampling.samplers.multistep import (
    deis,
    ipndm,
    ipndm_v,
    lms,
    res_multistep,
    res_multistep_cfg_pp,
)
from libs.sampling.samplers.second_order import dpm_2, dpm_2_ancestral, heun, heunpp2
from libs.sampling.samplers.stochastic import er_sde, seeds_2, seeds_3
from libs.sampling.samplers.trail import Denoise, Resize, Sampler, Trail, Walk

__all__ = ["SAMPLERS", "Denoise", "Resize", "Sampler", "Trail", "Walk"]

# In the order in which ComfyUI lists them.
SAMPLERS: Mapping[str, Sampler] = {
    "euler": Sampler(euler),
    "euler_cfg_pp": Sampler(euler_cfg_pp),
    "euler_ancestral": Sampler(euler_ancestral),
    "euler_ancestral_cfg_pp": Sampler(euler_ancestral_cfg_pp),
    "heun": Sampler(heun),
    "heunpp2": Sampler(heunpp2),
    "exp_heun_2_x0": Sampler(partial(seeds_2, eta=0.0, r=1.0, solver_type="phi_2")),
    "exp_heun_2_x0_sde": Sampler(partial(seeds_2, r=1.0, solver_type="phi_2")),
    "dpm_2": Sampler(dpm_2, skips_penultimate=True),
    "dpm_2_ancestral": Sampler(dpm_2_ancestral, skips_penultimate=True),
    "lms": Sampler(lms),
    "dpm_fast": Sampler(dpm_fast),
    "dpm_adaptive": Sampler(dpm_adaptive),
    "dpmpp_2s_ancestral": Sampler(dpmpp_2s_ancestral),
    "dpmpp_2s_ancestral_cfg_pp": Sampler(dpmpp_2s_ancestral_cfg_pp),
    "dpmpp_sde": Sampler(dpmpp_sde),
    "dpmpp_sde_gpu": Sampler(partial(dpmpp_sde, on_cpu=False)),
    "dpmpp_2m": Sampler(dpmpp_2m),
    "dpmpp_2m_cfg_pp": Sampler(dpmpp_2m_cfg_pp),
    "dpmpp_2m_sde": Sampler(dpmpp_2m_sde),
    "dpmpp_2m_sde_gpu": Sampler(partial(dpmpp_2m_sde, on_cpu=False)),
    "dpmpp_2m_sde_heun": Sampler(partial(dpmpp_2m_sde, solver_type="heun")),
    "dpmpp_2m_sde_heun_gpu": Sampler(partial(dpmpp_2m_sde, solver_type="heun", on_cpu=False)),
    "dpmpp_3m_sde": Sampler(dpmpp_3m_sde),
    "dpmpp_3m_sde_gpu": Sampler(partial(dpmpp_3m_sde, on_cpu=False)),
    "ddpm": Sampler(ddpm),
    "lcm": Sampler(lcm),
    "ipndm": Sampler(ipndm),
    "ipndm_v": Sampler(ipndm_v),
    "deis": Sampler(deis),
    "res_multistep": Sampler(res_multistep),
    "res_multistep_cfg_pp": Sampler(res_multistep_cfg_pp),
    "res_multistep_ancestral": Sampler(partial(res_multistep, eta=1.0)),
    "res_multistep_ancestral_cfg_pp": Sampler(partial(res_multistep_cfg_pp, eta=1.0)),
    "gradient_estimation": Sampler(gradient_estimation),
    "gradient_estimation_cfg_pp": Sampler(gradient_estimation_cfg_pp),
    "er_sde": Sampler(er_sde),
    "seeds_2": Sampler(seeds_2),
    "seeds_3": Sampler(seeds_3),
    "sa_solver": Sampler(sa_solver),
    "sa_solver_pece": Sampler(partial(sa_solver, use_pece=True)),
    # In this formulation DDIM without noise is Euler.
    "ddim": Sampler(euler, redraws_mask_noise=True),
    "uni_pc": Sampler(uni_pc, skips_penultimate=True),
    "uni_pc_bh2": Sampler(partial(uni_pc, variant="bh2"), skips_penultimate=True),
}
