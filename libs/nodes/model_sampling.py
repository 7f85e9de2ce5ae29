"""Nodes that change at which levels a model samples, what it predicts, and how it is guided."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from libs.nodes.declare import Widget, node
from libs.nodes.sockets import SIDE_PIXELS_MAX, Model

_CATEGORY = "advanced/model"
_TOKENS_SMALL, _TOKENS_LARGE = 256, 4096
_PIXELS_PER_TOKEN = 16 * 16

_Level: TypeAlias = Annotated[
    float, Widget(min=0.0, max=1000.0, step=0.001, round=False, advanced=True)
]
_Shift: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=100.0, step=0.01),
    "Higher spends more of the course on much noise, as larger pictures want.",
]
_Strength: TypeAlias = Annotated[float, Widget(min=0.0, max=10.0, step=0.01, advanced=True)]


@node("ModelSamplingDiscrete", title="ModelSamplingDiscrete", category=_CATEGORY)
def sample_discretely(
    *,
    model: Model,
    sampling: Annotated[
        Literal["eps", "v_prediction", "lcm", "x0"],
        "What the network predicts: noise, velocity, or the picture; lcm for consistency models.",
    ],
    zsnr: Annotated[
        bool, Widget(advanced=True), "On for models trained down to noise without any signal."
    ] = False,
) -> Model:
    """Sample over a thousand trained steps, as Stable Diffusion does."""
    from libs.sampling.distilled import Distilled
    from libs.sampling.levels import Chain, Prediction

    if sampling == "lcm":
        return model.with_levels(Distilled(zero_terminal_snr=zsnr))
    prediction: Prediction = "v" if sampling == "v_prediction" else sampling
    return model.with_levels(Chain(prediction, zero_terminal_snr=zsnr))


@node("ModelSamplingContinuousEDM", title="ModelSamplingContinuousEDM", category=_CATEGORY)
def sample_continuously(
    *,
    model: Model,
    sampling: Annotated[
        Literal["v_prediction", "edm", "edm_playground_v2.5", "eps", "cosmos_rflow"],
        "What the network predicts. For Playground v2.5 its latents are scaled as well; Cosmos "
        "predicts the way of a flow whose noise is added.",
    ],
    sigma_max: Annotated[_Level, "The highest level."] = 120.0,
    sigma_min: Annotated[_Level, "The lowest level."] = 0.002,
) -> Model:
    """Sample over a continuous range of levels, told to the network by their logarithm."""
    from libs.sampling.levels import AddedFlow, Continuous

    _rising(sigma_min, sigma_max)
    match sampling:
        case "edm":
            return model.with_levels(Continuous(sigma_min, sigma_max, "edm", data=0.5))
        case "edm_playground_v2.5":
            levels = Continuous(sigma_min, sigma_max, "edm", data=0.5)
            return model.with_levels(levels).with_latents("playground_2.5")
        case "cosmos_rflow":
            return model.with_levels(AddedFlow(sigma_min, sigma_max))
        case "v_prediction":
            return model.with_levels(Continuous(sigma_min, sigma_max, "v"))
    return model.with_levels(Continuous(sigma_min, sigma_max, "eps"))


@node("ModelSamplingContinuousV", title="ModelSamplingContinuousV", category=_CATEGORY)
def sample_by_angle(
    *,
    model: Model,
    sampling: Annotated[Literal["v_prediction"], "What the network predicts."],
    sigma_max: Annotated[_Level, "The highest level."] = 500.0,
    sigma_min: Annotated[_Level, "The lowest level."] = 0.03,
) -> Model:
    """Sample over a continuous range of levels, told to the network as angles."""
    from libs.sampling.levels import Continuous

    _rising(sigma_min, sigma_max)
    return model.with_levels(Continuous(sigma_min, sigma_max, "v", angle=True))


def _rising(low: float, high: float) -> None:
    from libs.core.errors import Refused

    if not 0 < low < high:
        raise Refused(
            "levels rise from above zero", field="sigma_min", sigma_min=low, sigma_max=high
        )


@node("ModelSamplingSD3", title="ModelSamplingSD3", category=_CATEGORY)
def sample_as_sd3(*, model: Model, shift: _Shift = 3.0) -> Model:
    """Sample a flow whose levels are moved towards the noise, as Stable Diffusion 3 wants."""
    from libs.sampling.levels import Flow

    return model.with_levels(Flow(shift=shift, multiplier=1000.0))


@node("ModelSamplingAuraFlow", title="ModelSamplingAuraFlow", category=_CATEGORY)
def sample_as_aura_flow(*, model: Model, shift: _Shift = 1.73) -> Model:
    """Sample a flow that is told its levels from 0 to 1, as AuraFlow wants."""
    from libs.sampling.levels import Flow

    return model.with_levels(Flow(shift=shift, multiplier=1.0))


@node("ModelSamplingFlux", title="ModelSamplingFlux", category=_CATEGORY)
def sample_as_flux(
    *,
    model: Model,
    max_shift: Annotated[
        float, Widget(min=0.0, max=100.0, step=0.01), "Of a picture of 1024 x 1024."
    ] = 1.15,
    base_shift: Annotated[
        float, Widget(min=0.0, max=100.0, step=0.01), "Of a picture of 256 x 256."
    ] = 0.5,
    width: Annotated[
        int, Widget(min=16, max=SIDE_PIXELS_MAX, step=8), "Of the picture, in pixels."
    ] = 1024,
    height: Annotated[
        int, Widget(min=16, max=SIDE_PIXELS_MAX, step=8), "Of the picture, in pixels."
    ] = 1024,
) -> Model:
    """Sample a flow moved towards the noise by the picture's size, as Flux was trained."""
    from libs.sampling.levels import Flow

    slope = (max_shift - base_shift) / (_TOKENS_LARGE - _TOKENS_SMALL)
    tokens = width * height / _PIXELS_PER_TOKEN
    mu = base_shift + slope * (tokens - _TOKENS_SMALL)
    return model.with_levels(Flow(mu=mu, multiplier=1.0))


@node("RescaleCFG", title="RescaleCFG", category=_CATEGORY)
def rescale_guidance(
    *,
    model: Model,
    multiplier: Annotated[
        float,
        Widget(min=0.0, max=1.0, step=0.01),
        "How much of the contrast is kept; 0 is plain guidance.",
    ] = 0.7,
) -> Model:
    """Keep strong guidance from raising the contrast, as velocity models need."""
    from libs.sampling.mixing import rescaled

    return model.with_mix(rescaled(multiplier))


@node("FreeU", title="FreeU", category="model_patches/unet")
def free(
    *,
    model: Model,
    b1: Annotated[_Strength, "Of what comes up at the lowest level."] = 1.1,
    b2: Annotated[_Strength, "Of what comes up one level above."] = 1.2,
    s1: Annotated[_Strength, "Of the rough parts that come across at the lowest level."] = 0.9,
    s2: Annotated[_Strength, "Of the rough parts that come across one level above."] = 0.2,
) -> Model:
    """Strengthen what a UNet understood over what it merely passes on."""
    return model.freed(b1, b2, s1, s2, mapped=False)


@node("FreeU_V2", title="FreeU_V2", category="model_patches/unet")
def free_by_activity(
    *,
    model: Model,
    b1: Annotated[_Strength, "Of what comes up at the lowest level, where most happens."] = 1.3,
    b2: Annotated[_Strength, "Of what comes up one level above, where most happens."] = 1.4,
    s1: Annotated[_Strength, "Of the rough parts that come across at the lowest level."] = 0.9,
    s2: Annotated[_Strength, "Of the rough parts that come across one level above."] = 0.2,
) -> Model:
    """Strengthen what a UNet understood, the more the more happens in a place."""
    return model.freed(b1, b2, s1, s2, mapped=True)
