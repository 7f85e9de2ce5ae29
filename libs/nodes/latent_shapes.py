"""Nodes that cut, turn, lay over and calculate with latents."""

from __future__ import annotations

from typing import Annotated, Literal

from libs.nodes.declare import Widget, node
from libs.nodes.sockets import SIDE_PIXELS_MAX, Latent, LatentScaling, Mask

_Place = Widget(min=0, max=SIDE_PIXELS_MAX, step=8)
_Side = Widget(min=64, max=SIDE_PIXELS_MAX, step=8)
_Share = Widget(min=0.0, max=1.0, step=0.01)
QUARTERS = {"none": 0, "90 degrees": 1, "180 degrees": 2, "270 degrees": 3}


@node("LatentUpscaleBy", title="Upscale Latent By", category="latent")
def upscale_latent_by(
    *,
    samples: Latent,
    upscale_method: LatentScaling,
    scale_by: Annotated[float, Widget(min=0.01, max=8.0, step=0.01)] = 1.5,
) -> Latent:
    """Change the size of latents by a factor."""
    return samples.scaled_by(upscale_method, scale_by)


@node("LatentCrop", title="Crop Latent", category="latent/transform")
def crop_latent(
    *,
    samples: Latent,
    width: Annotated[int, _Side] = 512,
    height: Annotated[int, _Side] = 512,
    x: Annotated[int, _Place] = 0,
    y: Annotated[int, _Place] = 0,
) -> Latent:
    """Cut a rectangle out of latents, in pixels of the picture."""
    return samples.cropped(width, height, x, y)


@node("LatentFlip", title="Flip Latent", category="latent/transform")
def flip_latent(
    *, samples: Latent, flip_method: Literal["x-axis: vertically", "y-axis: horizontally"]
) -> Latent:
    """Mirror latents."""
    return samples.flipped(upside_down=flip_method.startswith("x"))


@node("LatentRotate", title="Rotate Latent", category="latent/transform")
def rotate_latent(
    *, samples: Latent, rotation: Literal["none", "90 degrees", "180 degrees", "270 degrees"]
) -> Latent:
    """Turn latents clockwise."""
    return samples.turned(QUARTERS[rotation])


@node("LatentComposite", title="Latent Composite", category="latent")
def compose_latents(
    *,
    samples_to: Latent,
    samples_from: Latent,
    x: Annotated[int, _Place] = 0,
    y: Annotated[int, _Place] = 0,
    feather: Annotated[int, _Place, "How far edges are softened, in pixels."] = 0,
) -> Latent:
    """Lay latents over others."""
    return samples_to.composed(samples_from, x, y, feather)


@node("LatentCompositeMasked", title="LatentCompositeMasked", category="latent")
def paste_latents(
    *,
    destination: Latent,
    source: Latent,
    x: Annotated[int, _Place] = 0,
    y: Annotated[int, _Place] = 0,
    resize_source: Annotated[bool, "Make the source as large as the destination first."] = False,
    mask: Annotated[Mask, "White lets the source through."] | None = None,
) -> Latent:
    """Put latents into others, through a mask."""
    return destination.pasted(source, x, y, mask, resize=resize_source)


@node("LatentBlend", title="Latent Blend", category="_for_testing")
def blend_latents(
    *,
    samples1: Latent,
    samples2: Latent,
    blend_factor: Annotated[float, _Share, "1 is all of the first."] = 0.5,
) -> Latent:
    """Blend two batches of latents."""
    return samples1.blended(samples2, blend_factor)


@node("LatentAdd", title="LatentAdd", category="latent/advanced")
def add_latents(*, samples1: Latent, samples2: Latent) -> Latent:
    """Add latents to others."""
    return samples1.plus(samples2)


@node("LatentSubtract", title="LatentSubtract", category="latent/advanced")
def subtract_latents(*, samples1: Latent, samples2: Latent) -> Latent:
    """Take latents away from others."""
    return samples1.plus(samples2, -1.0)


@node("LatentMultiply", title="LatentMultiply", category="latent/advanced")
def multiply_latents(
    *,
    samples: Latent,
    multiplier: Annotated[float, Widget(min=-10.0, max=10.0, step=0.01)] = 1.0,
) -> Latent:
    """Multiply latents with a number."""
    return samples.multiplied(multiplier)


@node("LatentInterpolate", title="LatentInterpolate", category="latent/advanced")
def interpolate_latents(
    *,
    samples1: Latent,
    samples2: Latent,
    ratio: Annotated[float, _Share, "1 is all of the first."] = 1.0,
) -> Latent:
    """Blend two batches of latents, directions and lengths apart."""
    return samples1.interpolated(samples2, ratio)
