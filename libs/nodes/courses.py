"""What runs along the wires between the nodes that lay out a course and walk it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from libs.nodes.sockets import Latent, OnStep

SamplerName = Literal[
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "exp_heun_2_x0",
    "exp_heun_2_x0_sde",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "sa_solver",
    "sa_solver_pece",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
]
SchedulerName = Literal[
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
]


LatentScalingWhileSampling = Literal["bislerp", "nearest-exact", "bilinear", "area", "bicubic"]


class Sigmas(Protocol):
    """Noise levels to walk, one after the other."""

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels themselves."""

    def split(self, step: int) -> tuple[Sigmas, Sigmas]:
        """Return the levels up to a step, and those from there on."""

    def split_by(self, denoise: float) -> tuple[Sigmas, Sigmas]:
        """Return the levels before the last part of the steps, and those of that part."""

    def flipped(self) -> Sigmas:
        """Return the levels upwards."""

    def starting_at(self, sigma: float) -> Sigmas:
        """Return the levels with another first one."""

    def refined(
        self, steps: int, start: float, end: float, spacing: Literal["linear", "cosine", "sine"]
    ) -> Sigmas:
        """Return the levels with more between those from `start` down to `end`."""


class Noise(Protocol):
    """What a course starts from, by its seed."""

    @property
    def seed(self) -> int:
        """Of all that is drawn."""

    @property
    def drawn(self) -> bool:
        """Say whether there is any noise at all."""


class Sampler(Protocol):
    """A way to step from level to level."""

    def with_options(self, **options: object) -> Sampler:
        """Return it stepping otherwise than by default."""


class Guider(Protocol):
    """A model with the texts that lead it."""

    def sample(
        self, latent: Latent, *, noise: Noise, sampler: Sampler, sigmas: Sigmas, on_step: OnStep
    ) -> tuple[Latent, Latent]:
        """Walk the levels; return the latent at their end, and the picture seen last."""
