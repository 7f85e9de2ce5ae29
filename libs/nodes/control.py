"""Nodes that lead a picture by another: edges, depth, poses."""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from libs.nodes.adapter_sockets import ControlNet
from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import Conditioning, Image, Mask, Model, Vae

_CATEGORY: Final = "conditioning/controlnet"
_File: TypeAlias = Annotated[
    str, Choices("controlnet"), "The ControlNet, made for the kind of model that it is to lead."
]
_Net: TypeAlias = Annotated[ControlNet, "What leads."]
_Hint: TypeAlias = Annotated[
    Image, "What is followed: a map of edges, depth or a pose, as the ControlNet was trained on."
]
_Strength: TypeAlias = Annotated[
    float, Widget(min=0.0, max=10.0, step=0.01), "How strongly it leads; 0 does not at all."
]
_Start: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=1.0, step=0.001),
    "Where in the course it begins to lead: 0 is the noise, 1 the picture.",
]
_End: TypeAlias = Annotated[
    float, Widget(min=0.0, max=1.0, step=0.001), "Where in the course it stops leading."
]
_UnionType = Literal[
    "auto",
    "openpose",
    "depth",
    "hed/pidi/scribble/ted",
    "canny/lineart/anime_lineart/mlsd",
    "normal",
    "segment",
    "tile",
    "repaint",
]


class Led(NamedTuple):
    """Both sides, led."""

    positive: Annotated[Conditioning, "What to see, led by the picture."]
    negative: Annotated[Conditioning, "What not to see, led by the same picture."]


@node(
    "ControlNetLoader",
    title="Load ControlNet Model",
    category="loaders",
    search_aliases=("controlnet", "control net", "cn"),
)
def load_control_net(context: Context, *, control_net_name: _File) -> ControlNet:
    """Load a ControlNet: for Stable Diffusion, SDXL, SD3 or Flux, for one type of hint or many.

    Control-LoRAs and T2I-Adapters for Stable Diffusion 1.5 and SDXL are loaded here too.
    """
    return context.loader.control_net(context.weights("controlnet", control_net_name))


@node("DiffControlNetLoader", title="Load ControlNet Model (diff)", category="loaders")
def load_difference_control_net(
    context: Context,
    *,
    model: Annotated[Model, "The model that the file is a difference to."],
    control_net_name: _File,
) -> ControlNet:
    """Load a ControlNet that may be stored as its difference to the model that it leads."""
    path = context.weights("controlnet", control_net_name)
    return context.loader.control_net(path, model)


@node("ControlNetApply", title="Apply ControlNet (OLD)", category=_CATEGORY)
def apply_control_net(
    *,
    conditioning: Annotated[Conditioning, "What to see. What not to see is led along with it."],
    control_net: _Net,
    image: _Hint,
    strength: _Strength = 1.0,
) -> Conditioning:
    """Lead the picture by another one from the first step to the last."""
    return control_net.applied(conditioning, image, strength, both_sides=True)


@node("ControlNetApplyAdvanced", title="Apply ControlNet", category=_CATEGORY)
def apply_control_net_in_part(
    *,
    positive: Annotated[Conditioning, "What to see."],
    negative: Annotated[Conditioning, "What not to see."],
    control_net: _Net,
    image: _Hint,
    strength: _Strength = 1.0,
    start_percent: _Start = 0.0,
    end_percent: _End = 1.0,
    vae: Annotated[Vae, "Needed by ControlNets that look at latents: those of SD3 and Flux."]
    | None = None,
) -> Led:
    """Lead the picture by another one in a part of the course.

    Several in a row add up, each with a strength and a part of its own.
    """
    sides = (positive, negative)
    return Led(*control_net.applied_to_all(sides, image, strength, start_percent, end_percent, vae))


@node("ControlNetApplySD3", title="Apply Controlnet with VAE", category=_CATEGORY)
def apply_control_net_to_latents(
    *,
    positive: Annotated[Conditioning, "What to see."],
    negative: Annotated[Conditioning, "What not to see."],
    control_net: _Net,
    vae: Annotated[Vae, "What turns the hint into the latents that the ControlNet looks at."],
    image: _Hint,
    strength: _Strength = 1.0,
    start_percent: _Start = 0.0,
    end_percent: _End = 1.0,
) -> Led:
    """Lead an SD3 or Flux picture by another one in a part of the course."""
    sides = (positive, negative)
    return Led(*control_net.applied_to_all(sides, image, strength, start_percent, end_percent, vae))


@node("SetUnionControlNetType", title="SetUnionControlNetType", category=_CATEGORY)
def tell_type(
    *,
    control_net: Annotated[ControlNet, "A ControlNet for many types of hints."],
    type: Annotated[_UnionType, "What the hint is. With auto it has to find out by itself."],
) -> ControlNet:
    """Tell a ControlNet for many types of hints which type its hint is of."""
    return control_net.of_type(type)


@node(
    "ControlNetInpaintingAliMamaApply",
    title="ControlNetInpaintingAliMamaApply",
    category=_CATEGORY,
)
def apply_inpainting_control_net(
    *,
    positive: Annotated[Conditioning, "What to see."],
    negative: Annotated[Conditioning, "What not to see."],
    control_net: Annotated[ControlNet, "A ControlNet that was trained to fill masked parts."],
    vae: Annotated[Vae, "What turns the picture into the latents that the ControlNet looks at."],
    image: Annotated[Image, "The picture to repaint in part."],
    mask: Annotated[Mask, "White where it is to be repainted."],
    strength: _Strength = 1.0,
    start_percent: _Start = 0.0,
    end_percent: _End = 1.0,
) -> Led:
    """Lead the repainting of a masked part by what lies around it."""
    led = control_net.applied_to_all(
        (positive, negative), image, strength, start_percent, end_percent, vae, mask
    )
    return Led(*led)
