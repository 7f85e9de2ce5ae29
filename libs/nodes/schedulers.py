"""Nodes that lay out noise levels for the samplers that take a row of them."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, TypeAlias

from libs.nodes.courses import SchedulerName, Sigmas
from libs.nodes.declare import Widget, node
from libs.nodes.sockets import STEPS_MAX, Model

_SCHEDULERS = "sampling/custom_sampling/schedulers"
_SIGMAS = "sampling/custom_sampling/sigmas"
_LEVEL_MAX = 5000.0

_Steps: TypeAlias = Annotated[
    int, Widget(min=1, max=STEPS_MAX), "How many times the sampler goes one level down."
]
_Highest: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=_LEVEL_MAX, step=0.01, round=False, advanced=True),
    "The level to begin at; the default is that of Stable Diffusion.",
]
_Lowest: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=_LEVEL_MAX, step=0.01, round=False, advanced=True),
    "The last level above zero; the default is that of Stable Diffusion.",
]
_Denoise: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=1.0, step=0.01),
    "Less than 1 gives the end of a longer row, for a latent that is no pure noise.",
]


class SplitRow(NamedTuple):
    """Both parts of a row, the noisier first."""

    high_sigmas: Annotated[Sigmas, "For the sampler that begins."]
    low_sigmas: Annotated[Sigmas, "For the sampler that goes on."]


class LevelAtPart(NamedTuple):
    """One level."""

    sigma_value: float


@node("BasicScheduler", title="BasicScheduler", category=_SCHEDULERS)
def basic_scheduler(
    *,
    model: Annotated[Model, "Gives the levels that it was trained at."],
    scheduler: Annotated[SchedulerName, "How the noise falls from step to step."],
    steps: _Steps = 20,
    denoise: _Denoise = 1.0,
) -> Sigmas:
    """Lay out the levels of a model as one of the usual schedules does."""
    from libs.sampling.course import part_of_schedule, schedule_named
    from libs.sampling.sigmas import Row

    schedule = schedule_named(scheduler)
    return Row.of(part_of_schedule(lambda count: schedule(model.levels, count), steps, denoise))


@node("KarrasScheduler", title="KarrasScheduler", category=_SCHEDULERS)
def karras_scheduler(
    *,
    steps: _Steps = 20,
    sigma_max: _Highest = 14.614642,
    sigma_min: _Lowest = 0.0291675,
    rho: Annotated[
        float,
        Widget(min=0.0, max=100.0, step=0.01, round=False, advanced=True),
        "Higher spends more of the steps on little noise.",
    ] = 7.0,
) -> Sigmas:
    """Lay out levels whose roots are evenly spaced."""
    from libs.sampling import sigmas

    return sigmas.karras(steps, sigma_min, sigma_max, rho)


@node("ExponentialScheduler", title="ExponentialScheduler", category=_SCHEDULERS)
def exponential_scheduler(
    *,
    steps: _Steps = 20,
    sigma_max: _Highest = 14.614642,
    sigma_min: _Lowest = 0.0291675,
) -> Sigmas:
    """Lay out levels that fall by the same factor in each step."""
    from libs.sampling import sigmas

    return sigmas.exponential(steps, sigma_min, sigma_max)


@node("PolyexponentialScheduler", title="PolyexponentialScheduler", category=_SCHEDULERS)
def polyexponential_scheduler(
    *,
    steps: _Steps = 20,
    sigma_max: _Highest = 14.614642,
    sigma_min: _Lowest = 0.0291675,
    rho: Annotated[
        float,
        Widget(min=0.0, max=100.0, step=0.01, round=False, advanced=True),
        "1 is the exponential schedule; higher spends more of the steps on little noise.",
    ] = 1.0,
) -> Sigmas:
    """Lay out levels whose logarithm falls as a power of the step."""
    from libs.sampling import sigmas

    return sigmas.polyexponential(steps, sigma_min, sigma_max, rho)


@node("LaplaceScheduler", title="LaplaceScheduler", category=_SCHEDULERS)
def laplace_scheduler(
    *,
    steps: _Steps = 20,
    sigma_max: _Highest = 14.614642,
    sigma_min: _Lowest = 0.0291675,
    mu: Annotated[
        float,
        Widget(min=-10.0, max=10.0, step=0.1, round=False, advanced=True),
        "The logarithm of the level that most steps are spent around.",
    ] = 0.0,
    beta: Annotated[
        float,
        Widget(min=0.0, max=10.0, step=0.1, round=False, advanced=True),
        "Lower keeps the steps closer to that level.",
    ] = 0.5,
) -> Sigmas:
    """Lay out levels dense around one of them; the last is the lowest, not zero."""
    from libs.sampling import sigmas

    return sigmas.laplace(steps, sigma_min, sigma_max, mu, beta)


@node("SDTurboScheduler", title="SDTurboScheduler", category=_SCHEDULERS)
def turbo_scheduler(
    *,
    model: Model,
    steps: Annotated[int, Widget(min=1, max=10), "SD Turbo wants 1, and takes a few."] = 1,
    denoise: Annotated[
        float,
        Widget(min=0, max=1.0, step=0.01),
        "Less than 1 begins with less noise, in tenths.",
    ] = 1.0,
) -> Sigmas:
    """Lay out the levels that SD Turbo and SDXL Turbo were distilled for."""
    from libs.sampling import sigmas

    return sigmas.turbo(model.levels, steps, denoise)


@node("BetaSamplingScheduler", title="BetaSamplingScheduler", category=_SCHEDULERS)
def beta_scheduler(
    *,
    model: Model,
    steps: _Steps = 20,
    alpha: Annotated[
        float,
        Widget(min=0.0, max=50.0, step=0.01, round=False, advanced=True),
        "Lower spends more of the steps on much noise.",
    ] = 0.6,
    beta: Annotated[
        float,
        Widget(min=0.0, max=50.0, step=0.01, round=False, advanced=True),
        "Lower spends more of the steps on little noise.",
    ] = 0.6,
) -> Sigmas:
    """Lay out the levels of a model as a beta distribution spreads them."""
    from libs.sampling.schedules import beta_shaped
    from libs.sampling.sigmas import Row

    return Row.of(beta_shaped(model.levels, steps, alpha, beta))


@node("VPScheduler", title="VPScheduler", category=_SCHEDULERS)
def variance_preserving_scheduler(
    *,
    steps: _Steps = 20,
    beta_d: Annotated[
        float,
        Widget(min=0.0, max=_LEVEL_MAX, step=0.01, round=False, advanced=True),
        "How much faster noise is added at the end of the chain than at its start.",
    ] = 19.9,
    beta_min: Annotated[
        float,
        Widget(min=0.0, max=_LEVEL_MAX, step=0.01, round=False, advanced=True),
        "How fast noise is added at the start of the chain.",
    ] = 0.1,
    eps_s: Annotated[
        float,
        Widget(min=0.0, max=1.0, step=0.0001, round=False, advanced=True),
        "The time in the chain of the last level above zero.",
    ] = 0.001,
) -> Sigmas:
    """Lay out the levels of a continuous chain that keeps its variance."""
    from libs.sampling import sigmas

    return sigmas.variance_preserving(steps, beta_d, beta_min, eps_s)


@node("AlignYourStepsScheduler", title="AlignYourStepsScheduler", category=_SCHEDULERS)
def aligned_scheduler(
    *,
    model_type: Annotated[
        Literal["SD1", "SDXL", "SVD"], "The kind of model that the levels were found for."
    ],
    steps: Annotated[
        int, Widget(min=1, max=STEPS_MAX), "The levels were found for 10; others lie between them."
    ] = 10,
    denoise: _Denoise = 1.0,
) -> Sigmas:
    """Lay out the levels that were found best for few steps (Align Your Steps)."""
    from libs.sampling import sigmas

    return sigmas.aligned(model_type, steps, denoise)


@node("SplitSigmas", title="SplitSigmas", category=_SIGMAS)
def split_sigmas(
    *,
    sigmas: Sigmas,
    step: Annotated[int, Widget(min=0, max=STEPS_MAX), "How many steps the first part has."] = 0,
) -> SplitRow:
    """Split a row so that one sampler begins and another goes on."""
    return SplitRow(*sigmas.split(step))


@node("SplitSigmasDenoise", title="SplitSigmasDenoise", category=_SIGMAS)
def split_sigmas_by_part(
    *,
    sigmas: Sigmas,
    denoise: Annotated[
        float, Widget(min=0.0, max=1.0, step=0.01), "The part of the steps that goes on."
    ] = 1.0,
) -> SplitRow:
    """Split a row by what part of its steps the second sampler does."""
    return SplitRow(*sigmas.split_by(denoise))


@node("FlipSigmas", title="FlipSigmas", category=_SIGMAS)
def flip_sigmas(*, sigmas: Sigmas) -> Sigmas:
    """Turn a row around, so that a sampler leads from a picture to its noise."""
    return sigmas.flipped()


@node("SetFirstSigma", title="SetFirstSigma", category=_SIGMAS)
def set_first_sigma(
    *,
    sigmas: Sigmas,
    sigma: Annotated[
        float, Widget(min=0.0, max=20000.0, step=0.001, round=False), "The level to begin at."
    ] = 136.0,
) -> Sigmas:
    """Begin a row at another level."""
    return sigmas.starting_at(sigma)


@node(
    "ExtendIntermediateSigmas",
    title="ExtendIntermediateSigmas",
    category=_SIGMAS,
    search_aliases=("interpolate sigmas",),
)
def extend_sigmas(
    *,
    sigmas: Sigmas,
    steps: Annotated[int, Widget(min=1, max=100), "How many steps each of the row becomes."] = 2,
    start_at_sigma: Annotated[
        float,
        Widget(min=-1.0, max=20000.0, step=0.01, round=False),
        "Levels above are left as they are; below zero none is.",
    ] = -1.0,
    end_at_sigma: Annotated[
        float,
        Widget(min=0.0, max=20000.0, step=0.01, round=False),
        "Levels below are left as they are.",
    ] = 12.0,
    spacing: Annotated[
        Literal["linear", "cosine", "sine"], "Even, or closer to the lower or the upper level."
    ],
) -> Sigmas:
    """Put more levels between those of a row."""
    start = start_at_sigma if start_at_sigma >= 0 else float("inf")
    return sigmas.refined(steps, start, end_at_sigma, spacing)


@node("SamplingPercentToSigma", title="SamplingPercentToSigma", category=_SIGMAS)
def level_at_part(
    *,
    model: Model,
    sampling_percent: Annotated[
        float, Widget(min=0.0, max=1.0, step=0.0001), "0 is the noise and 1 the picture."
    ] = 0.0,
    return_actual_sigma: Annotated[
        bool,
        "At 0 and 1 give the highest and lowest level trained on, "
        "in place of bounds that no level lies beyond.",
    ] = False,
) -> LevelAtPart:
    """Tell the level that a part of the whole course ends at."""
    from libs.sampling.levels import sigma_max, sigma_min

    if return_actual_sigma and sampling_percent in (0.0, 1.0):
        edge = sigma_max if sampling_percent == 0.0 else sigma_min
        return LevelAtPart(edge(model.levels))
    return LevelAtPart(model.levels.sigma_at(sampling_percent))


@node(
    "ManualSigmas",
    title="ManualSigmas",
    category="_for_testing/custom_sampling",
    search_aliases=("custom noise schedule", "define sigmas"),
)
def manual_sigmas(
    *,
    sigmas: Annotated[str, "The levels, from noise to picture, with anything between."] = "1, 0.5",
) -> Sigmas:
    """Take the levels as they are written."""
    from libs.sampling.sigmas import written

    return written(sigmas)
