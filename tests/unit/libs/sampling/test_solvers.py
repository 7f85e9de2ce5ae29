"""Samplers arrive where the equation leads: at the pace of their order, with the right spread."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from libs.sampling.levels import Chain, Flow
from libs.sampling.samplers import SAMPLERS, Trail
from libs.sampling.samplers.adams import sa_solver
from libs.sampling.samplers.dpmpp_sde import dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde
from libs.sampling.samplers.stochastic import er_sde, seeds_2, seeds_3
from tests.unit.libs.sampling.paths import PathNoise

# They put the picture they see under noise again, or noise seen elsewhere: no equation's solvers.
NO_SOLVERS = {name for name in SAMPLERS if "cfg_pp" in name} | {"lcm"}
SOLVERS = {name: sampler.walk for name, sampler in SAMPLERS.items() if name not in NO_SOLVERS}
# Those of first order need more steps to come as near.
SLOW = {"euler", "ddim", "euler_ancestral", "ddpm", "gradient_estimation"}
# These add noise as if it were never blended, on flows too; so does ComfyUI.
ADDED_ONLY = {"ddpm", "res_multistep_ancestral"}
STILL: dict[str, Any] = {"eta": 0.0}
ORDERS: dict[str, tuple[Any, int]] = {
    "euler": (SOLVERS["euler"], 1),
    "heun": (SOLVERS["heun"], 2),
    "dpm_2": (SOLVERS["dpm_2"], 2),
    "lms": (SOLVERS["lms"], 2),
    "dpm_fast": (SOLVERS["dpm_fast"], 1),
    "dpmpp_2m": (SOLVERS["dpmpp_2m"], 2),
    "ipndm_v": (SOLVERS["ipndm_v"], 1),
    "deis": (SOLVERS["deis"], 2),
    "res_multistep": (SOLVERS["res_multistep"], 2),
    "uni_pc": (SOLVERS["uni_pc"], 2),
    "uni_pc_bh2": (SOLVERS["uni_pc_bh2"], 2),
    "dpmpp_sde": (partial(dpmpp_sde, **STILL), 2),
    "dpmpp_2m_sde": (partial(dpmpp_2m_sde, **STILL), 2),
    "dpmpp_2m_sde_heun": (partial(dpmpp_2m_sde, solver_type="heun", **STILL), 2),
    "dpmpp_3m_sde": (partial(dpmpp_3m_sde, **STILL), 2),
    "seeds_2": (partial(seeds_2, **STILL), 2),
    "seeds_3": (partial(seeds_3, **STILL), 3),
    "sa_solver": (partial(sa_solver, tau_func=lambda sigma: 0.0), 3),
    "er_sde": (partial(er_sde, s_noise=0.0, noise_scaler=lambda ratio: ratio), 2),
}


class Sees:
    def __init__(self, see) -> None:
        self.see = see

    def __call__(self, x, sigma) -> Any:
        return self.see(x, sigma)


def walked(walk, see, x, sigmas, levels=None) -> Any:
    trail: Any = Trail(
        denoise=Sees(see),  # type: ignore[arg-type]
        sigmas=sigmas,
        levels=levels or Chain(),
        noise=PathNoise(0),
        seed=3,
    )
    return walk(trail, x)


@pytest.mark.covers("R107")
@pytest.mark.parametrize("name", sorted(ORDERS))
def test_twice_the_steps_divide_the_error_by_two_to_the_order(name):
    walk, order = ORDERS[name]
    exact = 12.0 * (1.0 / 10.0) ** 0.7

    def error(steps) -> Any:
        row = np.geomspace(10.0, 1.0, steps + 1).tolist()
        end = walked(walk, lambda x, sigma: 0.3 * x, np.full((1,), 12.0), row)
        return abs(end.item() - exact)

    assert error(18) / error(36) > 2**order * 0.75


@pytest.mark.covers("R107")
@pytest.mark.parametrize(
    ("name", "levels"),
    [(name, Chain()) for name in sorted(SOLVERS)]
    + [(name, Flow(shift=1.0)) for name in sorted(set(SOLVERS) - ADDED_ONLY)],
)
def test_the_spread_of_the_pictures_is_that_of_what_was_trained_on(name, levels):
    """A network trained on unit normal pictures leads from normal noise to unit normal."""
    top = 0.999 if levels.is_flow else 14.6
    sigmas = np.geomspace(top, 0.03, 301 if name in SLOW else 51).tolist()

    def variance(sigma) -> Any:
        signal = 1 - sigma if levels.is_flow else 1.0
        return signal**2 + sigma**2

    def see(x, sigma) -> Any:
        signal = 1 - sigma if levels.is_flow else 1.0
        return x * (signal / variance(sigma))

    noise = PathNoise(0).starting(np.zeros((1, 4, 32, 32)), 1).astype(np.float64)
    end = walked(SOLVERS[name], see, noise * variance(top) ** 0.5, sigmas, levels)
    assert end.var() == pytest.approx(variance(sigmas[-1]) * noise.var(), rel=0.06)
