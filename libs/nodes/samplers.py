"""Nodes that choose how a sampler steps."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from libs.nodes.courses import LatentScalingWhileSampling, Sampler, SamplerName
from libs.nodes.declare import Widget, node
from libs.nodes.sockets import Model

_CATEGORY = "sampling/custom_sampling/samplers"

_FINE = Widget(min=0.0, max=100.0, step=0.01, round=False, advanced=True)
_Eta: TypeAlias = Annotated[float, _FINE, "How much of each step is fresh noise; 0 adds none."]
_SNoise: TypeAlias = Annotated[float, _FINE, "A factor on the fresh noise."]
_NoiseDevice: TypeAlias = Annotated[
    Literal["gpu", "cpu"],
    Widget(advanced=True),
    "Where the noise is drawn: on the cpu it is the same for every machine.",
]
_PlainEta: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=100.0, step=0.01, round=False),
    "How much of each step is fresh noise; 0 adds none.",
]
_PlainSNoise: TypeAlias = Annotated[
    float, Widget(min=0.0, max=100.0, step=0.01, round=False), "A factor on the fresh noise."
]


def _named(name: str, **options: object) -> Sampler:
    from libs.sampling.course import sampler_named

    return sampler_named(name).with_options(**options)


@node("KSamplerSelect", title="KSamplerSelect", category=_CATEGORY)
def select_sampler(*, sampler_name: Annotated[SamplerName, "How a step is made."]) -> Sampler:
    """Choose a sampler as it comes."""
    from libs.sampling.course import sampler_named

    return sampler_named(sampler_name)


@node("SamplerEulerAncestral", title="SamplerEulerAncestral", category=_CATEGORY)
def euler_ancestral(*, eta: _Eta = 1.0, s_noise: _SNoise = 1.0) -> Sampler:
    """Choose euler_ancestral, with more or less noise."""
    return _named("euler_ancestral", eta=eta, s_noise=s_noise)


@node("SamplerEulerAncestralCFGPP", title="SamplerEulerAncestralCFG++", category=_CATEGORY)
def euler_ancestral_cfg_pp(
    *,
    eta: Annotated[
        float,
        Widget(min=0.0, max=1.0, step=0.01, round=False),
        "How much of each step is fresh noise; 0 adds none.",
    ] = 1.0,
    s_noise: Annotated[
        float, Widget(min=0.0, max=10.0, step=0.01, round=False), "A factor on the fresh noise."
    ] = 1.0,
) -> Sampler:
    """Choose euler_ancestral_cfg_pp, with more or less noise."""
    return _named("euler_ancestral_cfg_pp", eta=eta, s_noise=s_noise)


@node("SamplerLMS", title="SamplerLMS", category=_CATEGORY)
def lms(
    *,
    order: Annotated[
        int, Widget(min=1, max=100, advanced=True), "How many of the last slopes are remembered."
    ] = 4,
) -> Sampler:
    """Choose lms, with a longer or shorter memory."""
    return _named("lms", order=order)


@node("SamplerDPMPP_3M_SDE", title="SamplerDPMPP_3M_SDE", category=_CATEGORY)
def dpmpp_3m_sde(*, eta: _Eta = 1.0, s_noise: _SNoise = 1.0, noise_device: _NoiseDevice) -> Sampler:
    """Choose dpmpp_3m_sde, with more or less noise."""
    return _named("dpmpp_3m_sde", eta=eta, s_noise=s_noise, on_cpu=noise_device == "cpu")


@node("SamplerDPMPP_2M_SDE", title="SamplerDPMPP_2M_SDE", category=_CATEGORY)
def dpmpp_2m_sde(
    *,
    solver_type: Annotated[
        Literal["midpoint", "heun"], "How the change since the last step counts."
    ],
    eta: _Eta = 1.0,
    s_noise: _SNoise = 1.0,
    noise_device: _NoiseDevice,
) -> Sampler:
    """Choose dpmpp_2m_sde, with more or less noise."""
    on_cpu = noise_device == "cpu"
    return _named("dpmpp_2m_sde", solver_type=solver_type, eta=eta, s_noise=s_noise, on_cpu=on_cpu)


@node("SamplerDPMPP_SDE", title="SamplerDPMPP_SDE", category=_CATEGORY)
def dpmpp_sde(
    *,
    eta: _Eta = 1.0,
    s_noise: _SNoise = 1.0,
    r: Annotated[float, _FINE, "Where in the step it looks a second time."] = 0.5,
    noise_device: _NoiseDevice,
) -> Sampler:
    """Choose dpmpp_sde, with more or less noise."""
    from libs.core.errors import Refused

    if r <= 0:
        raise Refused("the second look must lie after the first", field="r", received=r)
    return _named("dpmpp_sde", eta=eta, s_noise=s_noise, r=r, on_cpu=noise_device == "cpu")


@node("SamplerDPMPP_2S_Ancestral", title="SamplerDPMPP_2S_Ancestral", category=_CATEGORY)
def dpmpp_2s_ancestral(*, eta: _PlainEta = 1.0, s_noise: _PlainSNoise = 1.0) -> Sampler:
    """Choose dpmpp_2s_ancestral, with more or less noise."""
    return _named("dpmpp_2s_ancestral", eta=eta, s_noise=s_noise)


@node("SamplerDPMAdaptative", title="SamplerDPMAdaptative", category=_CATEGORY)
def dpm_adaptive(
    *,
    order: Annotated[
        int, Widget(min=2, max=3, advanced=True), "Of the finer of the two solutions."
    ] = 3,
    rtol: Annotated[
        float, _FINE, "How much two solutions may differ, in parts of the latent."
    ] = 0.05,
    atol: Annotated[float, _FINE, "How much two solutions may always differ."] = 0.0078,
    h_init: Annotated[float, _FINE, "The length of the first step tried."] = 0.05,
    pcoeff: Annotated[float, _FINE, "How the last error changes the next length."] = 0.0,
    icoeff: Annotated[float, _FINE, "How all errors change the next length."] = 1.0,
    dcoeff: Annotated[float, _FINE, "How the error's change changes the next length."] = 0.0,
    accept_safety: Annotated[
        float, _FINE, "A step that would have to be shorter than that is done again."
    ] = 0.81,
    eta: _Eta = 0.0,
    s_noise: _SNoise = 1.0,
) -> Sampler:
    """Choose dpm_adaptive, which finds its own steps between the first level and the last."""
    return _named(
        "dpm_adaptive",
        order=order,
        rtol=rtol,
        atol=atol,
        h_init=h_init,
        pcoeff=pcoeff,
        icoeff=icoeff,
        dcoeff=dcoeff,
        accept_safety=accept_safety,
        eta=eta,
        s_noise=s_noise,
    )


@node("SamplerER_SDE", title="SamplerER_SDE", category=_CATEGORY)
def er_sde(
    *,
    solver_type: Annotated[
        Literal["ER-SDE", "Reverse-time SDE", "ODE"], "Where the noise of the steps comes from."
    ],
    max_stage: Annotated[
        int, Widget(min=1, max=3, advanced=True), "How many of the last pictures count."
    ] = 3,
    eta: Annotated[
        float,
        Widget(min=0.0, max=10.0, step=0.01, round=False, advanced=True),
        "How strong the noise is; 0 adds none, and much more than 1 may spoil the picture.",
    ] = 1.0,
    s_noise: _SNoise = 1.0,
) -> Sampler:
    """Choose er_sde, with its own noise or that of simpler equations."""
    from libs.sampling.samplers.stochastic import scale_of

    still = solver_type == "ODE" or eta == 0
    return _named(
        "er_sde",
        s_noise=0.0 if still else s_noise,
        noise_scaler=scale_of("ODE" if still else solver_type, eta),
        max_stage=max_stage,
    )


@node("SamplerSASolver", title="SamplerSASolver", category=_CATEGORY, search_aliases=("sde",))
def sa_solver(
    *,
    model: Annotated[Model, "Tells which levels the parts of the course are."],
    eta: Annotated[
        float,
        Widget(min=0.0, max=10.0, step=0.01, round=False, advanced=True),
        "How strong the noise is between both parts; 0 adds none.",
    ] = 1.0,
    sde_start_percent: Annotated[
        float, Widget(min=0.0, max=1.0, step=0.001, advanced=True), "Noise is added from here."
    ] = 0.2,
    sde_end_percent: Annotated[
        float, Widget(min=0.0, max=1.0, step=0.001, advanced=True), "Noise is added until here."
    ] = 0.8,
    s_noise: _SNoise = 1.0,
    predictor_order: Annotated[
        int, Widget(min=1, max=6, advanced=True), "How many pictures a step is predicted by."
    ] = 3,
    corrector_order: Annotated[
        int, Widget(min=0, max=6, advanced=True), "How many pictures it is corrected by; 0 is off."
    ] = 4,
    use_pece: Annotated[
        bool, Widget(advanced=True), "Looks once more after each correction: twice as slow."
    ] = False,
    simple_order_2: Annotated[
        bool, Widget(advanced=True), "Takes simpler weights where two pictures count."
    ] = False,
) -> Sampler:
    """Choose sa_solver, stochastic in a part of the course."""
    from libs.sampling.samplers.adams import within

    start, end = (model.levels.sigma_at(part) for part in (sde_start_percent, sde_end_percent))
    return _named(
        "sa_solver",
        tau_func=within(start, end, eta),
        s_noise=s_noise,
        predictor_order=predictor_order,
        corrector_order=corrector_order,
        use_pece=use_pece,
        simple_order_2=simple_order_2,
    )


@node(
    "SamplerSEEDS2", title="SamplerSEEDS2", category=_CATEGORY, search_aliases=("sde", "exp heun")
)
def seeds_2(
    *,
    solver_type: Annotated[Literal["phi_1", "phi_2"], "How both looks of a step are weighed."],
    eta: _Eta = 1.0,
    s_noise: _SNoise = 1.0,
    r: Annotated[
        float,
        Widget(min=0.01, max=1.0, step=0.01, round=False, advanced=True),
        "Where in the step it looks a second time.",
    ] = 0.5,
) -> Sampler:
    """Choose seeds_2; phi_2 with r 1 is Heun's method in the logarithm of the noise."""
    return _named("seeds_2", solver_type=solver_type, eta=eta, s_noise=s_noise, r=r)


@node("SamplerLCMUpscale", title="SamplerLCMUpscale", category=_CATEGORY)
def lcm_upscale(
    *,
    scale_ratio: Annotated[
        float,
        Widget(min=0.1, max=20.0, step=0.01),
        "How many times larger the latent is at the end.",
    ] = 1.0,
    scale_steps: Annotated[
        int, Widget(min=-1, max=1000, step=1), "Over how many steps it grows; -1 is half of them."
    ] = -1,
    upscale_method: LatentScalingWhileSampling,
) -> Sampler:
    """Choose lcm with a latent that grows while it is denoised."""
    from libs.sampling.samplers import Sampler as Stepping
    from libs.sampling.samplers.euler import lcm_upscale as walk

    return Stepping(walk).with_options(
        upscale=scale_ratio,
        upscale_steps=None if scale_steps < 0 else scale_steps,
        upscale_method=upscale_method,
    )
