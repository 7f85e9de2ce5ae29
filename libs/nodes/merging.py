"""Nodes that make one model of two."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from libs.nodes.declare import Widget, node
from libs.nodes.sockets import Clip, Model

_CATEGORY: Final = "advanced/model_merging"
_Share: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=1.0, step=0.01),
    "How much is the first model's; the rest is the other's.",
]
_First: TypeAlias = Annotated[Model, "The first model."]
_Second: TypeAlias = Annotated[Model, "The other model, of the same kind."]
_Multiplier: TypeAlias = Annotated[
    float, Widget(min=-10.0, max=10.0, step=0.01), "What the difference is multiplied by."
]
_FirstClip: TypeAlias = Annotated[Clip, "The first text encoder."]
_SecondClip: TypeAlias = Annotated[Clip, "The other text encoder, of the same kind."]


@node("ModelMergeSimple", title="ModelMergeSimple", category=_CATEGORY)
def merge_models(*, model1: _First, model2: _Second, ratio: _Share = 1.0) -> Model:
    """Blend two models weight by weight: the first times the ratio, the other times the rest."""
    return model1.blended(model2, {"": (ratio, 1.0 - ratio)})


@node("ModelMergeBlocks", title="ModelMergeBlocks", category=_CATEGORY)
def merge_models_by_block(
    *,
    model1: _First,
    model2: _Second,
    input: _Share = 1.0,
    middle: _Share = 1.0,
    out: _Share = 1.0,
) -> Model:
    """Blend two models with ratios of their own for the way down, the middle and the way up."""
    ratios = {"": input, "middle": middle, "out": out}
    return model1.blended(model2, {start: (own, 1.0 - own) for start, own in ratios.items()})


@node("ModelMergeSubtract", title="ModelMergeSubtract", category=_CATEGORY)
def subtract_models(*, model1: _First, model2: _Second, multiplier: _Multiplier = 1.0) -> Model:
    """Take what the other model has from the first: what is left is what tells them apart."""
    return model1.blended(model2, {"": (multiplier, -multiplier)})


@node("ModelMergeAdd", title="ModelMergeAdd", category=_CATEGORY)
def add_models(*, model1: _First, model2: _Second) -> Model:
    """Add the other model's weights to the first's, as to add a difference to a model."""
    return model1.blended(model2, {"": (1.0, 1.0)})


@node("CLIPMergeSimple", title="CLIPMergeSimple", category=_CATEGORY)
def merge_clips(*, clip1: _FirstClip, clip2: _SecondClip, ratio: _Share = 1.0) -> Clip:
    """Blend two text encoders weight by weight."""
    return clip1.blended(clip2, ratio, 1.0 - ratio)


@node("CLIPMergeSubtract", title="CLIPMergeSubtract", category=_CATEGORY)
def subtract_clips(*, clip1: _FirstClip, clip2: _SecondClip, multiplier: _Multiplier = 1.0) -> Clip:
    """Take what the other text encoder has from the first."""
    return clip1.blended(clip2, multiplier, -multiplier)


@node("CLIPMergeAdd", title="CLIPMergeAdd", category=_CATEGORY)
def add_clips(*, clip1: _FirstClip, clip2: _SecondClip) -> Clip:
    """Add the other text encoder's weights to the first's."""
    return clip1.blended(clip2, 1.0, 1.0)
