"""Weights files as bytes: a checkpoint of three parts, or one part alone.

Numbers are written in the narrowest format that loses none of them, tensor by tensor, so that
what is read again computes the same to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Final

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.loader.safetensors_file import LENGTH_BYTES, TYPES
from libs.diffusion.model import Model
from libs.diffusion.saving.layout import network_tensors, vae_tensors
from libs.diffusion.saving.text_layout import FILE_NAMES, clip_tensors, encoder_tensors
from libs.diffusion.text.clip import Clip
from libs.diffusion.vae import Vae
from libs.sampling.levels import Chain

NETWORK_PREFIX: Final = "model.diffusion_model."
VAE_PREFIX: Final = "first_stage_model."
HALVES: Final = (torch.float16, torch.bfloat16)
TYPE_NAMES: Final[Mapping[torch.dtype, str]] = {dtype: name for name, dtype in TYPES.items()}
ALIGNMENT: Final = 8
# What a network predicts, as the heads of files say it.
PREDICTIONS: Final = {"eps": "epsilon", "v": "v"}

About = Mapping[str, str]


def model_file(
    model: Model, clip: Clip | None, vae: Vae | None, about: About, bytes_max: int
) -> bytes:
    """Return a diffusion model with its text encoders and its VAE, or alone."""
    tensors = _prefixed(NETWORK_PREFIX, network_tensors(model.network.get()))
    if clip is not None:
        tensors |= clip_tensors(clip, model.family)
    if vae is not None:
        tensors |= _prefixed(VAE_PREFIX, vae_tensors(vae.network.get()))
    return written({**tensors, **_marks(model)}, {**_told(model), **about}, bytes_max)


def vae_file(vae: Vae, about: About, bytes_max: int) -> bytes:
    """Return a VAE alone."""
    return written(vae_tensors(vae.network.get()), about, bytes_max)


def encoder_files(clip: Clip, about: About, bytes_max: int) -> dict[str, bytes]:
    """Return each text encoder in a file of its own, by the name that such files have."""
    return {
        FILE_NAMES[tower.name]: written(encoder_tensors(tower), about, bytes_max)
        for tower in clip.towers
    }


def written(tensors: Mapping[str, Tensor], about: About, bytes_max: int) -> bytes:
    """Return tensors as a safetensors file; raise Refused if it would be too large."""
    kinds = {name: narrowest(tensor) for name, tensor in tensors.items()}
    # Wider numbers first, as the format's own writer does: then all lie aligned.
    order = sorted(tensors, key=lambda name: (-kinds[name].itemsize, name))
    listed: dict[str, object] = {"__metadata__": dict(about)}
    end = 0
    for name in order:
        begin, end = end, end + tensors[name].numel() * kinds[name].itemsize
        shape = list(tensors[name].shape)
        listed[name] = {
            "dtype": TYPE_NAMES[kinds[name]],
            "shape": shape,
            "data_offsets": [begin, end],
        }
    header = json.dumps(listed, separators=(",", ":")).encode()
    header += b" " * (-len(header) % ALIGNMENT)
    size = LENGTH_BYTES + len(header) + end
    if size > bytes_max:
        raise Refused(
            "the file would be larger than an output may be",
            field="model",
            received_bytes=size,
            limit_bytes=bytes_max,
        )
    file = BytesIO()
    file.write(len(header).to_bytes(LENGTH_BYTES, "little"))
    file.write(header)
    for name in order:
        numbers = tensors[name].to(device="cpu", dtype=kinds[name]).contiguous()
        file.write(numbers.flatten().view(torch.uint8).numpy().data)
    return file.getvalue()


def narrowest(tensor: Tensor) -> torch.dtype:
    """Return the narrowest format that holds each number of a tensor as it is."""
    if tensor.dtype is not torch.float32 or not tensor.numel():
        return tensor.dtype
    return next(
        (half for half in HALVES if torch.equal(tensor.to(half).float(), tensor)), tensor.dtype
    )


def _marks(model: Model) -> dict[str, Tensor]:
    """Return the empty tensors that say what a network predicts."""
    levels = model.levels
    if not isinstance(levels, Chain) or levels.prediction != "v":
        return {}
    marks = {"v_pred": torch.tensor([])}
    return marks | {"ztsnr": torch.tensor([])} if levels.zero_terminal_snr else marks


def _told(model: Model) -> dict[str, str]:
    levels = model.levels
    if not isinstance(levels, Chain) or levels.prediction not in PREDICTIONS:
        return {}
    return {"modelspec.predict_key": PREDICTIONS[levels.prediction]}


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
