"""Tiny VAEs (TAESD) built from their two halves, whichever way those are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat
from libs.diffusion.loader.build import build
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.vae import TinyVae
from libs.weights.tiny_vaes import encoder_beside, name_of

# The latents that each was made for.
FORMS: Final[Mapping[str, LatentFormat]] = {
    "taesd": LatentFormat(4, 0.18215),
    "taesdxl": LatentFormat(4, 0.13025),
    "taesd3": LatentFormat(16, 1.5305, 0.0609),
    "taef1": LatentFormat(16, 0.3611, 0.1159),
}
# Its layers are counted from the first one; a decoder begins with a clamp, which has no numbers.
COUNTED: Final = re.compile(r"(?:taesd_(?:en|de)coder\.)?(\d+)\.(.+)")
BEFORE: Final = {"encoder": 0, "decoder": 1}


def named_for(form: LatentFormat) -> str | None:
    """Return the tiny VAE for a model's latents, None if there is none."""
    wanted = (form.channels, form.scale, form.shift)
    known = ((name, (made.channels, made.scale, made.shift)) for name, made in FORMS.items())
    return next((name for name, one in known if one == wanted), None)


def tiny_vae_at(shelf: Shelf, decoder: Path) -> TinyVae | None:
    """Return the tiny VAE that a file is the decoder of; None if it is none by its name."""
    name, encoder = name_of(decoder), encoder_beside(decoder)
    if name is None or encoder is None:
        return None
    halves = {"decoder": WeightsFile.open(decoder), "encoder": WeightsFile.open(encoder)}

    def load() -> AutoencoderTiny:
        dtype = shelf.placement.vae
        tensors = {half: file.read_under("", dtype) for half, file in halves.items()}
        return build_tiny({half: _named(half, found) for half, found in tensors.items()})

    network = shelf.resident(halves["decoder"], "tiny vae", load)
    return TinyVae(network, shelf.placement, FORMS[name])


def tiny_decoder_at(path: Path, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return the decoder in a file alone: of latents as a network has them, to -1 to 1."""
    tensors = {"decoder": _named("decoder", WeightsFile.open(path).read_under("", dtype))}
    decoder: nn.Module = build_tiny(tensors).decoder
    return decoder.to(device)


def build_tiny(halves: Mapping[str, Mapping[str, Tensor]]) -> AutoencoderTiny:
    """Build it out of the tensors of its halves, by half; one that is not there is left out."""
    config = _config(halves)
    known = {
        f"{half}.layers.{name}": tensor
        for half, tensors in halves.items()
        for name, tensor in tensors.items()
    }

    def make() -> AutoencoderTiny:
        network = AutoencoderTiny(**config)
        for half in BEFORE.keys() - halves.keys():
            setattr(network, half, nn.Identity())
        return network

    return build(make, known)


def _config(halves: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for half, tensors in halves.items():
        widths = (int(tensors["0.weight"].shape[0]),) * 4
        config[f"{half}_block_out_channels"] = widths
    if "decoder" in halves:
        config["latent_channels"] = int(halves["decoder"]["0.weight"].shape[1])
    return config


def _named(half: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a half by their layers as diffusers counts them."""
    ours = f"{half}.layers."
    if any(name.startswith(ours) for name in tensors):
        found = {
            n.removeprefix(ours): tensor for n, tensor in tensors.items() if n[: len(ours)] == ours
        }
    else:
        counted = ((COUNTED.fullmatch(name), tensor) for name, tensor in tensors.items())
        found = {
            f"{int(match[1]) - BEFORE[half]}.{match[2]}": tensor
            for match, tensor in counted
            if match is not None
        }
    if "0.weight" not in found:
        raise Refused(f"the file holds no {half} of a tiny VAE", first=sorted(tensors)[:3])
    return found
