"""Nodes that encode texts, and say where and when they count."""

from __future__ import annotations

from typing import Annotated, Literal

from libs.nodes.declare import Widget, node
from libs.nodes.sockets import SIDE_PIXELS_MAX, Clip, Conditioning, Mask

_Fraction = Widget(min=0.0, max=1.0, step=0.001)
_Share = Widget(min=0.0, max=1.0, step=0.01)
_Strength = Widget(min=0.0, max=10.0, step=0.01)
_Extent = Widget(min=64, max=SIDE_PIXELS_MAX, step=8)
_Offset = Widget(min=0, max=SIDE_PIXELS_MAX, step=8)


@node(
    "CLIPTextEncode",
    title="CLIP Text Encode (Prompt)",
    category="conditioning",
    search_aliases=("prompt", "text", "encode text"),
)
def encode_text(
    *,
    text: Annotated[
        str,
        Widget(multiline=True, dynamic_prompts=True),
        "The words. (word:1.2) weighs a part more, (word:0.8) less.",
    ],
    clip: Annotated[Clip, "The text encoder."],
) -> Conditioning:
    """Encode words so that a diffusion model can follow them."""
    return clip.encode(text)


@node("CLIPSetLastLayer", title="CLIP Set Last Layer", category="conditioning")
def set_last_layer(
    *,
    clip: Clip,
    stop_at_clip_layer: Annotated[
        int, Widget(min=-24, max=-1, step=1, advanced=True), "-1 is the last layer."
    ] = -1,
) -> Clip:
    """Stop a text encoder some layers before its end."""
    return clip.stopping_at(stop_at_clip_layer)


@node("ConditioningCombine", title="Conditioning (Combine)", category="conditioning")
def combine(*, conditioning_1: Conditioning, conditioning_2: Conditioning) -> Conditioning:
    """Follow both texts, each for itself, and average what the model says to them."""
    return conditioning_1.combined(conditioning_2)


@node("ConditioningConcat", title="Conditioning (Concat)", category="conditioning")
def concat(*, conditioning_to: Conditioning, conditioning_from: Conditioning) -> Conditioning:
    """Put the second text behind the first, as if both had been one long text."""
    return conditioning_to.joined(conditioning_from)


@node("ConditioningAverage", title="ConditioningAverage ", category="conditioning")
def average(
    *,
    conditioning_to: Conditioning,
    conditioning_from: Conditioning,
    conditioning_to_strength: Annotated[
        float, Widget(min=0.0, max=1.0, step=0.01), "1 is all of the first, 0 all of the second."
    ] = 1.0,
) -> Conditioning:
    """Blend the encodings of two texts."""
    return conditioning_to.averaged(conditioning_from, conditioning_to_strength)


@node("ConditioningSetArea", title="Conditioning (Set Area)", category="conditioning")
def set_area(
    *,
    conditioning: Conditioning,
    width: Annotated[int, _Extent] = 64,
    height: Annotated[int, _Extent] = 64,
    x: Annotated[int, _Offset] = 0,
    y: Annotated[int, _Offset] = 0,
    strength: Annotated[float, Widget(min=0.0, max=10.0, step=0.01)] = 1.0,
) -> Conditioning:
    """Let a text count in one rectangle of the picture only."""
    return conditioning.within(width=width, height=height, x=x, y=y, strength=strength)


@node(
    "ConditioningSetTimestepRange",
    title="ConditioningSetTimestepRange",
    category="advanced/conditioning",
)
def set_timestep_range(
    *,
    conditioning: Conditioning,
    start: Annotated[float, _Fraction] = 0.0,
    end: Annotated[float, _Fraction] = 1.0,
) -> Conditioning:
    """Let a text count in one part of the steps only."""
    return conditioning.during(start, end)


@node(
    "ConditioningSetAreaPercentage",
    title="Conditioning (Set Area with Percentage)",
    category="conditioning",
)
def set_area_share(
    *,
    conditioning: Conditioning,
    width: Annotated[float, _Share] = 1.0,
    height: Annotated[float, _Share] = 1.0,
    x: Annotated[float, _Share] = 0.0,
    y: Annotated[float, _Share] = 0.0,
    strength: Annotated[float, _Strength] = 1.0,
) -> Conditioning:
    """Let a text count in one rectangle of the picture only, given as parts of its sides."""
    return conditioning.within_share(width=width, height=height, x=x, y=y, strength=strength)


@node("ConditioningSetAreaStrength", title="ConditioningSetAreaStrength", category="conditioning")
def set_area_strength(
    *, conditioning: Conditioning, strength: Annotated[float, _Strength] = 1.0
) -> Conditioning:
    """Say how much a text weighs among others that share its place."""
    return conditioning.weighing(strength)


@node("ConditioningSetMask", title="Conditioning (Set Mask)", category="conditioning")
def set_mask(
    *,
    conditioning: Conditioning,
    mask: Annotated[Mask, "White is where the text counts."],
    strength: Annotated[float, _Strength] = 1.0,
    set_cond_area: Annotated[
        Literal["default", "mask bounds"], "Look at the whole picture, or at the marked part alone."
    ],
) -> Conditioning:
    """Let a text count in the masked part of the picture only."""
    return conditioning.painted(mask, strength, bounded=set_cond_area != "default")


@node("ConditioningZeroOut", title="ConditioningZeroOut", category="advanced/conditioning")
def zero_out(*, conditioning: Conditioning) -> Conditioning:
    """Replace an encoded text by zeros, which is less than the empty text."""
    return conditioning.zeroed()
