"""`comfy.utils` and `node_helpers`, as far as they work on tensors and files."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from PIL import ImageFile
from PIL import UnidentifiedImageError as _Unreadable
from safetensors.torch import load_file, save_file
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion import scaling

T = TypeVar("T")
SAFETENSORS: Final = ".safetensors"


def common_upscale(
    samples: Tensor, width: int, height: int, upscale_method: str, crop: str
) -> Tensor:
    """Return a batch [count, channels, height, width] at another size."""
    return scaling.scale(samples, upscale_method, (int(height), int(width)), crop)


def lanczos(samples: Tensor, width: int, height: int) -> Tensor:
    """Return a batch at another size, through Pillow's Lanczos filter."""
    return scaling.lanczos(samples, (height, width))


def bislerp(samples: Tensor, width: int, height: int) -> Tensor:
    """Return latents at another size."""
    return scaling.bislerp(samples, (height, width))


def load_torch_file(
    ckpt: str | Path,
    safe_load: bool = False,
    device: torch.device | None = None,
    return_metadata: bool = False,
) -> Any:
    """Return the tensors of a safetensors file; nothing else is opened, as pickles can run code."""
    path = Path(ckpt)
    if path.suffix.lower() not in (SAFETENSORS, ".sft"):
        raise Refused("packs load safetensors files alone", received=path.name)
    tensors = load_file(path, device=str(device or "cpu"))
    if not return_metadata:
        return tensors
    from safetensors import safe_open

    with safe_open(path, framework="pt") as opened:
        return tensors, opened.metadata()


def save_torch_file(
    sd: dict[str, Tensor], ckpt: str | Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file."""
    save_file(sd, ckpt, metadata)


def calculate_parameters(sd: Mapping[str, Tensor], prefix: str = "") -> int:
    """Return how many numbers the tensors of a network have."""
    return sum(math.prod(one.shape) for name, one in sd.items() if name.startswith(prefix))


def repeat_to_batch_size(tensor: Tensor, batch_size: int, dim: int = 0) -> Tensor:
    """Return a batch repeated, or cut, to so many."""
    have = tensor.shape[dim]
    if have < batch_size:
        times = [1] * tensor.ndim
        times[dim] = math.ceil(batch_size / have)
        tensor = tensor.repeat(times)
    return tensor.narrow(dim, 0, batch_size)


def conditioning_set_values(
    conditioning: list[list[Any]], values: Mapping[str, Any] | None = None, append: bool = False
) -> list[list[Any]]:
    """Return texts with more said beside each; with `append` behind what is there already."""
    changed: list[list[Any]] = []
    for context, told in conditioning:
        more = dict(told)
        for name, value in (values or {}).items():
            more[name] = more[name] + value if append and name in more else value
        changed.append([context, more])
    return changed


def pillow(fn: Callable[[Any], T], arg: Any) -> T:
    """Call a function of Pillow; a cut off picture is read as far as it goes."""
    try:
        return fn(arg)
    except (OSError, _Unreadable, ValueError):
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            return fn(arg)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def hasher() -> Callable[..., Any]:
    """Return what files are named by."""
    return hashlib.sha256


def string_to_torch_dtype(string: str) -> torch.dtype | None:
    """Return the kind of numbers of that name."""
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(string)


def image_alpha_fix(destination: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Return two pictures with as many channels: one more is opaque alpha, one less is cut."""
    if destination.shape[-1] < source.shape[-1]:
        return destination, source[..., : destination.shape[-1]]
    if destination.shape[-1] > source.shape[-1]:
        return destination, torch.nn.functional.pad(source, (0, 1), value=1.0)
    return destination, source
