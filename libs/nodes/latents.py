"""Nodes that make, change and keep latents."""

from __future__ import annotations

import json
from typing import Annotated

from libs.core.jsonvalue import JsonObject
from libs.nodes.context import Context, OutputFile
from libs.nodes.declare import Shown, Widget, node
from libs.nodes.sockets import (
    BATCH_MAX,
    SIDE_PIXELS_MAX,
    Crop,
    Image,
    Latent,
    LatentScaling,
    Mask,
    Vae,
)

_Side = Widget(min=16, max=SIDE_PIXELS_MAX, step=8)
_ScaledSide = Widget(min=0, max=SIDE_PIXELS_MAX, step=8)


@node("EmptyLatentImage", title="Empty Latent Image", category="latent")
def empty_latent(
    context: Context,
    *,
    width: Annotated[int, _Side, "Of the picture, in pixels."] = 512,
    height: Annotated[int, _Side, "Of the picture, in pixels."] = 512,
    batch_size: Annotated[int, Widget(min=1, max=BATCH_MAX), "How many pictures."] = 1,
) -> Latent:
    """Make empty latents to start from when a picture is made out of text alone."""
    return context.loader.blank_latent(width=width, height=height, count=batch_size)


@node("VAEDecode", title="VAE Decode", category="latent")
def decode(
    *,
    samples: Annotated[Latent, "What to decode."],
    vae: Annotated[Vae, "The VAE of the model that made it."],
) -> Shown[Image]:
    """Turn latents into pictures."""
    image, make = vae.decoding(samples)
    return Shown(image, make)


@node("VAEEncode", title="VAE Encode", category="latent")
def encode(*, pixels: Image, vae: Vae) -> Latent:
    """Turn pictures into latents."""
    return vae.encode(pixels)


@node("VAEEncodeForInpaint", title="VAE Encode (for Inpainting)", category="latent/inpaint")
def encode_for_inpaint(
    *,
    pixels: Image,
    vae: Vae,
    mask: Annotated[Mask, "White is repainted."],
    grow_mask_by: Annotated[int, Widget(min=0, max=64, step=1), "In pixels."] = 6,
) -> Latent:
    """Turn pictures into latents with the masked part emptied, to be painted anew."""
    return vae.encode_around(pixels, mask, grow_mask_by)


@node("SetLatentNoiseMask", title="Set Latent Noise Mask", category="latent/inpaint")
def set_noise_mask(*, samples: Latent, mask: Mask) -> Latent:
    """Let the sampler change the masked part only."""
    return samples.masked(mask)


@node("LatentUpscale", title="Upscale Latent", category="latent")
def upscale_latent(
    *,
    samples: Latent,
    upscale_method: LatentScaling,
    width: Annotated[int, _ScaledSide, "0 keeps the proportions."] = 512,
    height: Annotated[int, _ScaledSide, "0 keeps the proportions."] = 512,
    crop: Crop,
) -> Latent:
    """Change the size of latents."""
    return samples.scaled(upscale_method, width, height, crop)


@node(
    "SaveLatent",
    title="SaveLatent",
    category="latent",
    output_node=True,
    hidden={"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
)
def save_latent(
    context: Context,
    *,
    samples: Latent,
    filename_prefix: Annotated[str, "Start of the file's name."] = "latents/ComfyUI",
) -> Shown[None]:
    """Keep latents in a file, with the workflow that made them."""
    chunks: JsonObject = {"prompt": context.prompt, **context.extra_pnginfo}
    saved = context.save(
        OutputFile(
            data=samples.to_bytes({name: json.dumps(value) for name, value in chunks.items()}),
            extension="latent",
            mime="application/octet-stream",
            filename_prefix=filename_prefix,
        )
    )
    return Shown(None, {"latents": [saved.as_json()]})
