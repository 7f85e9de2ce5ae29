"""Nodes that encode texts for one family of models, with what that family wants beside them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from libs.nodes.declare import Widget, node
from libs.nodes.sockets import SIDE_PIXELS_MAX, Clip, Conditioning

_Words: TypeAlias = Annotated[
    str, Widget(multiline=True, dynamic_prompts=True), "The words for this text encoder."
]
_Side = Widget(min=0, max=SIDE_PIXELS_MAX)
_Guidance: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=100.0, step=0.1),
    "How strictly the text is followed, as the model was taught it.",
]


@node("CLIPTextEncodeSDXL", title="CLIPTextEncodeSDXL", category="advanced/conditioning")
def encode_for_sdxl(
    *,
    clip: Clip,
    width: Annotated[int, _Side, "What the picture should look like it was, in pixels."] = 1024,
    height: Annotated[int, _Side] = 1024,
    crop_w: Annotated[int, _Side, "What should look cut off at the left."] = 0,
    crop_h: Annotated[int, _Side, "What should look cut off at the top."] = 0,
    target_width: Annotated[int, _Side, "What the picture will be."] = 1024,
    target_height: Annotated[int, _Side] = 1024,
    text_g: _Words,
    text_l: _Words,
) -> Conditioning:
    """Encode a text for each encoder of SDXL, and say which sizes the picture should remind of."""
    sizes = {
        "width": width,
        "height": height,
        "crop_w": crop_w,
        "crop_h": crop_h,
        "target_width": target_width,
        "target_height": target_height,
    }
    return clip.encode_apart({"g": text_g, "l": text_l}).with_extras(sizes=sizes)


@node(
    "CLIPTextEncodeSDXLRefiner", title="CLIPTextEncodeSDXLRefiner", category="advanced/conditioning"
)
def encode_for_refiner(
    *,
    ascore: Annotated[
        float, Widget(min=0.0, max=1000.0, step=0.01), "How pretty the picture should be judged."
    ] = 6.0,
    width: Annotated[int, _Side] = 1024,
    height: Annotated[int, _Side] = 1024,
    text: _Words,
    clip: Clip,
) -> Conditioning:
    """Encode a text for SDXL's refiner, with a score for the looks of the picture."""
    sizes = {"width": width, "height": height, "aesthetic_score": ascore}
    return clip.encode(text).with_extras(sizes=sizes)


@node("CLIPTextEncodeSD3", title="CLIPTextEncodeSD3", category="advanced/conditioning")
def encode_for_sd3(
    *,
    clip: Clip,
    clip_l: _Words,
    clip_g: _Words,
    t5xxl: _Words,
    empty_padding: Annotated[
        Literal["none", "empty_prompt"], "Whether an encoder without words is asked at all."
    ],
) -> Conditioning:
    """Encode a text for each of the three encoders of Stable Diffusion 3."""
    texts: dict[str, str | None] = {"l": clip_l, "g": clip_g, "t5xxl": t5xxl}
    if empty_padding == "none":
        texts = {name: text or None for name, text in texts.items()}
    return clip.encode_apart(texts)


@node("CLIPTextEncodeFlux", title="CLIPTextEncodeFlux", category="advanced/conditioning/flux")
def encode_for_flux(
    *,
    clip: Clip,
    clip_l: _Words,
    t5xxl: _Words,
    guidance: _Guidance = 3.5,
) -> Conditioning:
    """Encode a text for each of Flux's encoders, and say how strictly to follow it."""
    return clip.encode_apart({"l": clip_l, "t5xxl": t5xxl}).with_extras(guidance=guidance)


@node("FluxGuidance", title="FluxGuidance", category="advanced/conditioning/flux")
def flux_guidance(*, conditioning: Conditioning, guidance: _Guidance = 3.5) -> Conditioning:
    """Say how strictly Flux should follow a text."""
    return conditioning.with_extras(guidance=guidance)


@node("FluxDisableGuidance", title="FluxDisableGuidance", category="advanced/conditioning/flux")
def flux_disable_guidance(*, conditioning: Conditioning) -> Conditioning:
    """Tell Flux nothing of how strictly to follow a text, not even its default."""
    return conditioning.with_extras(guidance=None)
