"""Nodes that denoise."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from libs.nodes.context import Context
from libs.nodes.courses import SamplerName, SchedulerName
from libs.nodes.declare import Widget, node
from libs.nodes.sockets import (
    SEED_MAX,
    STEPS_MAX,
    Conditioning,
    Latent,
    Model,
)

_Seed: TypeAlias = Annotated[
    int,
    Widget(min=0, max=SEED_MAX, control_after_generate=True),
    "The start of the noise: the same seed gives the same picture.",
]
_Steps: TypeAlias = Annotated[
    int, Widget(min=1, max=STEPS_MAX), "More steps take longer and give finer pictures."
]
_Cfg: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=100.0, step=0.1, round=0.01),
    "How strictly the text is followed; too much spoils the colours.",
]


@node("KSampler", title="KSampler", category="sampling", search_aliases=("sampler", "denoise"))
def ksampler(
    context: Context,
    *,
    model: Annotated[Model, "Denoises the latent."],
    seed: _Seed = 0,
    steps: _Steps = 20,
    cfg: _Cfg = 8.0,
    sampler_name: Annotated[SamplerName, "How a step is made."],
    scheduler: Annotated[SchedulerName, "How the noise falls from step to step."],
    positive: Annotated[Conditioning, "What to see."],
    negative: Annotated[Conditioning, "What not to see."],
    latent_image: Annotated[Latent, "What to start from."],
    denoise: Annotated[
        float,
        Widget(min=0.0, max=1.0, step=0.01),
        "Less than 1 keeps that much of what was there.",
    ] = 1.0,
) -> Latent:
    """Denoise a latent, step by step, towards the positive and away from the negative."""
    return model.sample(
        latent_image,
        positive=positive,
        negative=negative,
        seed=seed,
        steps=steps,
        cfg=cfg,
        sampler=sampler_name,
        scheduler=scheduler,
        denoise=denoise,
        on_step=context.step,
    )


@node("KSamplerAdvanced", title="KSampler (Advanced)", category="sampling")
def ksampler_advanced(
    context: Context,
    *,
    model: Model,
    add_noise: Annotated[
        Literal["enable", "disable"], Widget(advanced=True), "Off if the latent is noisy already."
    ],
    noise_seed: _Seed = 0,
    steps: _Steps = 20,
    cfg: _Cfg = 8.0,
    sampler_name: SamplerName,
    scheduler: SchedulerName,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    start_at_step: Annotated[int, Widget(min=0, max=STEPS_MAX, advanced=True)] = 0,
    end_at_step: Annotated[int, Widget(min=0, max=STEPS_MAX, advanced=True)] = STEPS_MAX,
    return_with_leftover_noise: Annotated[
        Literal["disable", "enable"], Widget(advanced=True), "On if another sampler goes on."
    ],
) -> Latent:
    """Do some steps of a longer course, so that another sampler can do the rest."""
    return model.sample(
        latent_image,
        positive=positive,
        negative=negative,
        seed=noise_seed,
        steps=steps,
        cfg=cfg,
        sampler=sampler_name,
        scheduler=scheduler,
        add_noise=add_noise == "enable",
        first_step=start_at_step,
        last_step=end_at_step,
        keep_noise=return_with_leftover_noise == "enable",
        on_step=context.step,
    )
