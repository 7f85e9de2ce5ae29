"""Nodes that change a model by an adapter: files of LoRA and its kin."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple, TypeAlias

from libs.nodes.adapter_sockets import Lora
from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import Clip, Model

_Strength: Final = Widget(min=-100.0, max=100.0, step=0.01)
_File: TypeAlias = Annotated[
    str,
    Choices("loras"),
    "The adapter, made for this kind of model: LoRA, LoHa, LoKr, DoRA, OFT, BOFT or GLoRA.",
]
_OfModel: TypeAlias = Annotated[
    float,
    _Strength,
    "How strongly the diffusion model is changed. 0 not at all; below 0 the opposite way.",
]
_OfClip: TypeAlias = Annotated[
    float, _Strength, "How strongly the text encoder is changed, where the file changes it at all."
]


class Adapted(NamedTuple):
    """A model and its text encoder with the adapter in them."""

    MODEL: Annotated[Model, "The diffusion model, changed."]
    CLIP: Annotated[Clip, "The text encoder, changed."]


@node("LoraLoader", title="Load LoRA", category="loaders", search_aliases=("lora", "adapter"))
def load_lora(
    context: Context,
    *,
    model: Annotated[Model, "The diffusion model to change."],
    clip: Annotated[Clip, "The text encoder to change."],
    lora_name: _File,
    strength_model: _OfModel = 1.0,
    strength_clip: _OfClip = 1.0,
) -> Adapted:
    """Add an adapter's style or subject to a model and its text encoder.

    Several in a row add up, each at a strength of its own.
    """
    lora = context.loader.lora(context.weights("loras", lora_name))
    return _adapted(lora, model, clip, strength_model, strength_clip)


@node("LoraLoaderModelOnly", title="LoraLoaderModelOnly", category="loaders")
def load_lora_of_model(
    context: Context,
    *,
    model: Annotated[Model, "The diffusion model to change."],
    lora_name: _File,
    strength_model: _OfModel = 1.0,
) -> Model:
    """Add an adapter's style or subject to a diffusion model, and leave the text encoder."""
    lora = context.loader.lora(context.weights("loras", lora_name))
    return lora.applied(model, None, strength_model, 0.0)[0]


@node("LoraModelLoader", title="Load LoRA Alone", category="loaders")
def load_lora_alone(context: Context, *, lora_name: _File) -> Lora:
    """Load an adapter once, to apply it to several models or at several strengths."""
    return context.loader.lora(context.weights("loras", lora_name))


@node("ApplyLora", title="Apply LoRA", category="loaders")
def apply_lora(
    *,
    model: Annotated[Model, "The diffusion model to change."],
    clip: Annotated[Clip, "The text encoder to change."],
    lora: Annotated[Lora, "The adapter."],
    strength_model: _OfModel = 1.0,
    strength_clip: _OfClip = 1.0,
) -> Adapted:
    """Add a loaded adapter's style or subject to a model and its text encoder."""
    return _adapted(lora, model, clip, strength_model, strength_clip)


def _adapted(
    lora: Lora, model: Model, clip: Clip, strength_model: float, strength_clip: float
) -> Adapted:
    changed, encoder = lora.applied(model, clip, strength_model, strength_clip)
    return Adapted(changed, clip if encoder is None else encoder)
