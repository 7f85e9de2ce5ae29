"""Making a safetensors file of a pickled one, after a scan and without running its code."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from libs.core.errors import Refused
from libs.weights.pickles import PICKLES, require_clean

# Trainers put the tensors under one of these, beside what they need to go on training.
INSIDE = ("state_dict", "params_ema", "params", "model_state_dict", "model", "module", "ema")
EMBEDDING_INSIDE = "string_to_param"
EMBEDDING = "emb_params"


def import_pickle(path: Path, to: Path) -> int:
    """Write the tensors of a pickled file to a new safetensors file; return how many there are.

    Raise Refused if the scan finds anything but tensors in it, or if `to` exists.
    """
    if path.suffix.lower() not in PICKLES:
        raise Refused("only pickled files are imported", file=path.name, known=sorted(PICKLES))
    if to.exists():
        raise Refused("there is a file of that name already", file=to.name)
    require_clean(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise Refused("the file cannot be read", file=path.name, reason=str(error)) from error
    tensors = tensors_in(loaded)
    if not tensors:
        raise Refused("the file holds no tensors", file=path.name)
    _write(tensors, to, {"imported_from": path.name, "imported_sha256": _sha256(path)})
    return len(tensors)


def tensors_in(loaded: Any) -> dict[str, Tensor]:
    """Return the named tensors of what a pickled file held."""
    if not isinstance(loaded, Mapping):
        return {}
    embedding = loaded.get(EMBEDDING_INSIDE)
    if isinstance(embedding, Mapping):
        vectors = [tensor for tensor in embedding.values() if isinstance(tensor, Tensor)]
        return {EMBEDDING: vectors[0]} if len(vectors) == 1 else {}
    for name in INSIDE:
        inner = tensors_in(loaded.get(name))
        if inner:
            return inner
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}


def _write(tensors: Mapping[str, Tensor], to: Path, metadata: dict[str, str]) -> None:
    """Write a file whole or not at all; tensors that share memory become separate ones."""
    growing = to.with_name(f".{to.name}.growing")
    try:
        separate = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
        save_file(separate, growing, {"format": "pt", **metadata})
        os.link(growing, to)
    except FileExistsError as error:
        raise Refused("there is a file of that name already", file=to.name) from error
    finally:
        growing.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
