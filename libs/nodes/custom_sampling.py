"""Nodes that walk any row of levels with any sampler, under any guidance."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, TypeAlias

from libs.nodes.context import Context
from libs.nodes.courses import Guider, Noise, Sampler, Sigmas
from libs.nodes.declare import Widget, node
from libs.nodes.sockets import SEED_MAX, Conditioning, Latent, Model

_CATEGORY = "sampling/custom_sampling"

_Cfg: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=100.0, step=0.1, round=0.01),
    "How strictly the text is followed; too much spoils the colours.",
]
_Seed: TypeAlias = Annotated[
    int,
    Widget(min=0, max=SEED_MAX, control_after_generate=True),
    "The start of the noise: the same seed gives the same picture.",
]


class Sampled(NamedTuple):
    """What a sampler comes to."""

    output: Annotated[
        Latent, "The latent at the end of the levels, with noise if they end above 0."
    ]
    denoised_output: Annotated[Latent, "The picture that was seen in the last step."]


@node("SamplerCustom", title="SamplerCustom", category=_CATEGORY)
def sample_custom(
    context: Context,
    *,
    model: Model,
    add_noise: Annotated[bool, Widget(advanced=True), "Off if the latent is noisy already."] = True,
    noise_seed: _Seed = 0,
    cfg: _Cfg = 8.0,
    positive: Annotated[Conditioning, "What to see."],
    negative: Annotated[Conditioning, "What not to see."],
    sampler: Annotated[Sampler, "How a step is made."],
    sigmas: Annotated[Sigmas, "The noise levels to walk."],
    latent_image: Annotated[Latent, "What to start from."],
) -> Sampled:
    """Denoise a latent over a row of levels, towards the positive, away from the negative."""
    from libs.sampling.noise import Seeded

    guider = model.guider(positive, negative, cfg)
    noise = Seeded(noise_seed, drawn=add_noise)
    return Sampled(
        *guider.sample(
            latent_image, noise=noise, sampler=sampler, sigmas=sigmas, on_step=context.step
        )
    )


@node("SamplerCustomAdvanced", title="SamplerCustomAdvanced", category=_CATEGORY)
def sample_custom_advanced(
    context: Context,
    *,
    noise: Annotated[Noise, "What to add to the latent at the start."],
    guider: Annotated[Guider, "The model, and what leads it."],
    sampler: Annotated[Sampler, "How a step is made."],
    sigmas: Annotated[Sigmas, "The noise levels to walk."],
    latent_image: Annotated[Latent, "What to start from."],
) -> Sampled:
    """Denoise a latent over a row of levels, with every part of it chosen by a node."""
    return Sampled(
        *guider.sample(
            latent_image, noise=noise, sampler=sampler, sigmas=sigmas, on_step=context.step
        )
    )


@node("RandomNoise", title="RandomNoise", category=f"{_CATEGORY}/noise")
def random_noise(*, noise_seed: _Seed = 0) -> Noise:
    """Start from the noise of a seed."""
    from libs.sampling.noise import Seeded

    return Seeded(noise_seed)


@node(
    "DisableNoise",
    title="DisableNoise",
    category=f"{_CATEGORY}/noise",
    search_aliases=("zero noise",),
)
def disable_noise() -> Noise:
    """Start from the latent as it is; what a sampler adds on its way is drawn from seed 0."""
    from libs.sampling.noise import Seeded

    return Seeded(0, drawn=False)


@node("AddNoise", title="AddNoise", category="_for_testing/custom_sampling/noise")
def add_noise(*, model: Model, noise: Noise, sigmas: Sigmas, latent_image: Latent) -> Latent:
    """Put a latent under as much noise as walking these levels would take away."""
    return model.noised(latent_image, noise, sigmas)


@node("BasicGuider", title="BasicGuider", category=f"{_CATEGORY}/guiders")
def basic_guider(*, model: Model, conditioning: Annotated[Conditioning, "What to see."]) -> Guider:
    """Let one text lead, without a negative: for models that need none, such as Flux."""
    return model.guider(conditioning)


@node("CFGGuider", title="CFGGuider", category=f"{_CATEGORY}/guiders")
def cfg_guider(
    *,
    model: Model,
    positive: Annotated[Conditioning, "What to see."],
    negative: Annotated[Conditioning, "What not to see."],
    cfg: _Cfg = 8.0,
) -> Guider:
    """Let a positive and a negative text lead, pushed apart."""
    return model.guider(positive, negative, cfg)


@node(
    "DualCFGGuider",
    title="DualCFGGuider",
    category=f"{_CATEGORY}/guiders",
    search_aliases=("dual prompt guidance",),
)
def dual_guider(
    *,
    model: Model,
    cond1: Annotated[Conditioning, "What to see."],
    cond2: Annotated[Conditioning, "What to see less of, such as the picture that is edited."],
    negative: Annotated[Conditioning, "What not to see."],
    cfg_conds: Annotated[
        float,
        Widget(min=0.0, max=100.0, step=0.1, round=0.01),
        "How strongly the first is pushed away from the second.",
    ] = 8.0,
    cfg_cond2_negative: Annotated[
        float,
        Widget(min=0.0, max=100.0, step=0.1, round=0.01),
        "How strongly the second is pushed away from the negative.",
    ] = 8.0,
    style: Annotated[
        Literal["regular", "nested"],
        "Nested pushes what comes of the first two away from the negative as a whole.",
    ],
) -> Guider:
    """Let three texts lead: from the negative to the second, and from there to the first."""
    return model.dual_guider(
        cond1, cond2, negative, cfg_conds, cfg_cond2_negative, nested=style == "nested"
    )


@node("PerpNegGuider", title="PerpNegGuider", category="_for_testing")
def perp_neg_guider(
    *,
    model: Model,
    positive: Annotated[Conditioning, "What to see."],
    negative: Annotated[Conditioning, "What not to see."],
    empty_conditioning: Annotated[Conditioning, "An empty text, that both are compared with."],
    cfg: _Cfg = 8.0,
    neg_scale: Annotated[
        float, Widget(min=0.0, max=100.0, step=0.01), "How strongly the negative pushes."
    ] = 1.0,
) -> Guider:
    """Push away only from what of the negative does not lie along the positive."""
    return model.perp_neg_guider(positive, negative, empty_conditioning, cfg, neg_scale)
