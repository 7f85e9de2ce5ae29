"""Pictures, masks, latents and texts as bytes, for another worker of the same kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from libs.core.errors import Refused
from libs.portable.values import Latents, Mask, Picture
from libs.sampling.carrying import Carrier, Stays

TREE: Final = "tree"
CARRIER: Final = Carrier.of(np.ndarray, Latents, Mask, Picture)


def to_bytes(values: Sequence[object]) -> bytes | None:
    """Return the outputs of a node as a safetensors file, or None if one of them cannot travel."""
    try:
        tree, arrays = CARRIER.apart(values)
    except Stays:
        return None
    text = json.dumps(tree).encode()
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save({**contiguous, TREE: np.frombuffer(text, np.uint8)})


def from_bytes(data: bytes) -> tuple[object, ...]:
    """Return the outputs again; raise Refused if they are damaged or of another version."""
    try:
        arrays = load(data)
        tree = json.loads(arrays.pop(TREE).tobytes())
    except (SafetensorError, KeyError, ValueError) as error:
        raise Refused("the kept value is damaged", reason=str(error)) from error
    return CARRIER.together(tree, arrays)
