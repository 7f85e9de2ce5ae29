"""In which numbers a network computes, and in which it keeps its weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.packed.narrow import SmallFloats, int8_rows, multiplies_in, small_floats
from libs.diffusion.packed.tensor import PackedTensor
from libs.diffusion.placement import Placement

M = TypeVar("M", bound=nn.Module)

DEFAULT = "default"
INT8 = "int8"
FP8_FAST = "fp8_e4m3fn_fast"
COMPUTED = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
KEPT = {
    "fp8_e4m3fn": SmallFloats(torch.float8_e4m3fn),
    FP8_FAST: SmallFloats(torch.float8_e4m3fn, multiplies=True),
    "fp8_e5m2": SmallFloats(torch.float8_e5m2),
}
STORAGES = (DEFAULT, *KEPT, INT8)
# Integers keep the weights of layers; what is smaller costs little and matters much.
INT8_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
INT8_NUMBERS_MIN = 1024


def at_precision(placement: Placement, name: str) -> Placement:
    """Return the placement with another precision; raise Refused if its device lacks that.

    The names of numbers to compute in (`fp16`) change those, the names of storages
    (`fp8_e4m3fn`, `int8`) how the weights of diffusion networks are kept.
    """
    if name == "auto":
        return placement
    if name in COMPUTED:
        dtype = COMPUTED[name]
        _require(placement.device, dtype, name)
        return replace(placement, unet=dtype)
    if name not in STORAGES:
        known = ["auto", *COMPUTED, *STORAGES]
        raise Refused("there is no such precision", precision=name, known=known)
    if name == FP8_FAST and not multiplies_in(placement.device):
        raise Refused(
            "this device does not multiply in fp8",
            precision=name,
            device=str(placement.device),
            instead="fp8_e4m3fn",
        )
    if name in KEPT:
        _require(placement.device, KEPT[name].stored, name)
    return replace(placement, storage=name)


def stored(network: M, storage: str) -> M:
    """Return the network with its weights kept as `storage` says, one after the other.

    Weights that come quantised out of their file stay as they are.
    """
    if storage == DEFAULT:
        return network
    if storage not in STORAGES:
        raise Refused("there is no such storage of weights", storage=storage, known=list(STORAGES))
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if isinstance(weight, PackedTensor) or not weight.is_floating_point():
                continue
            if storage in KEPT:
                kept: Tensor = small_floats(weight.data, KEPT[storage], weight.dtype)
            elif name == "weight" and isinstance(module, INT8_LAYERS) and _worth_it(weight):
                kept = int8_rows(weight.data, weight.dtype)
            else:
                continue
            setattr(module, name, nn.Parameter(kept, requires_grad=False))
    return network


def _worth_it(weight: Tensor) -> bool:
    return weight.numel() >= INT8_NUMBERS_MIN


def _require(device: torch.device, dtype: torch.dtype, name: str) -> None:
    """Compute something small; what a device says of itself is not always so."""
    try:
        if dtype.itemsize == 1:
            torch.ones(4, device=device).to(dtype).to(torch.float32).sum().item()
            return
        x = torch.ones(1, 4, 4, 4, dtype=dtype, device=device)
        y = nn.functional.conv2d(x, x)
        nn.functional.linear(nn.functional.group_norm(x, 2), x[0, 0]).add(y).sum().item()
    except (RuntimeError, NotImplementedError, TypeError) as error:
        raise Refused(
            "this device does not compute in that precision",
            precision=name,
            device=str(device),
            reason=str(error),
        ) from error
