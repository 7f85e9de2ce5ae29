"""Pictures, masks, latents and texts as bytes, for another worker of the same kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from libs.core.errors import Refused
from libs.diffusion.values import Latents, Mask, Picture
from libs.sampling.carrying import Carrier, Stays

TREE: Final = "tree"
CARRIER: Final = Carrier.of(torch.Tensor, Latents, Mask, Picture)


def to_bytes(values: Sequence[object]) -> bytes | None:
    """Return the outputs of a node as a safetensors file, or None if one of them cannot travel."""
    try:
        tree, arrays = CARRIER.apart(values)
    except Stays:
        return None
    text = bytearray(json.dumps(tree).encode())
    # Copies, since the format refuses views of one storage.
    tensors = {name: array.detach().cpu().clone().contiguous() for name, array in arrays.items()}
    return save({**tensors, TREE: torch.frombuffer(text, dtype=torch.uint8)})


def from_bytes(data: bytes) -> tuple[object, ...]:
    """Return the outputs again; raise Refused if they are damaged or of another version."""
    try:
        tensors = load(data)
        tree = json.loads(bytes(tensors.pop(TREE).numpy()))
    except (SafetensorError, KeyError, ValueError) as error:
        raise Refused("the kept value is damaged", reason=str(error)) from error
    return CARRIER.together(tree, tensors)
