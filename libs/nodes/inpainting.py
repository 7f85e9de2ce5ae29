"""Nodes for models that are told what to repaint, or which drawing to follow."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from libs.nodes.declare import Widget, node
from libs.nodes.sockets import Conditioning, Image, Latent, Mask, Model, Vae


class Repaint(NamedTuple):
    """Both texts with the picture beside them, and the latent to start from."""

    positive: Conditioning
    negative: Conditioning
    latent: Latent


@node("InpaintModelConditioning", title="InpaintModelConditioning", category="conditioning/inpaint")
def inpaint_model(
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    pixels: Image,
    mask: Annotated[Mask, "White is repainted."],
    noise_mask: Annotated[
        bool, "Keep everything outside the mask as it is, not only show it to the model."
    ] = True,
) -> Repaint:
    """Tell an inpainting model which part of a picture to repaint, and what lies around it."""
    whole, around = vae.encode_hole(pixels, mask)
    latent = whole.masked(mask) if noise_mask else whole
    return Repaint(positive.around(around, mask), negative.around(around, mask), latent)


@node(
    "InstructPixToPixConditioning",
    title="InstructPixToPixConditioning",
    category="conditioning/instructpix2pix",
)
def follow_picture(
    *, positive: Conditioning, negative: Conditioning, vae: Vae, pixels: Image
) -> Repaint:
    """Show a model the picture or drawing that it follows."""
    shown = vae.encode(pixels)
    return Repaint(positive.around(shown), negative.around(shown), shown.emptied())


@node("DifferentialDiffusion", title="Differential Diffusion", category="_for_testing")
def differential_diffusion(
    *,
    model: Model,
    strength: Annotated[
        float, Widget(min=0.0, max=1.0, step=0.01), "Less than 1 mixes the plain mask in."
    ]
    | None = 1.0,
) -> Model:
    """Paint white places of a mask from the start, and grey ones only towards the end."""
    return model.painting_gradually(1.0 if strength is None else strength)
