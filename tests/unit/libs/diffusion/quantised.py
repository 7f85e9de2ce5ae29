"""Quantised weights for tests: random blocks with sane scales, and GGUF files of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from torch import Tensor

from libs.diffusion.packed.blocks import FORMATS, BlockFormat

# Where the float16 scales of a block lie: random bytes there could be infinite.
SCALES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "Q4_0": (0,), "Q5_0": (0,)}
SCALES |= {"Q8_0": (0,)}
BY_NAME = {block.name: (Kind(number), block) for number, block in FORMATS.items()}


def random_blocks(block: BlockFormat, count: int, seed: int = 0) -> np.ndarray:
    """Return `count` blocks, a row each; no encoder for all formats exists to make them."""
    source = np.random.default_rng(seed)
    octets = source.integers(0, 256, (count, block.bytes), dtype=np.uint8)
    for start in SCALES.get(block.name, (0, 2)):
        scales = (source.normal(size=(count, 1)) * 0.001).astype(np.float16)
        octets[:, start : start + 2] = scales.view(np.uint8)
    return octets


def write_gguf(
    path: Path,
    tensors: Mapping[str, Tensor],
    choose: Callable[[str, Tensor], str],
    architecture: str = "sd1",
) -> dict[str, Tensor]:
    """Write tensors as GGUF, each in the format that `choose` names; return what they became.

    F16, F32 and BF16 keep the numbers. A quantised tensor gets random blocks, and its shape is
    noted where its rows are not whole blocks, as converters of picture models do.
    """
    writer = gguf.GGUFWriter(path, architecture)
    twins: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        chosen = choose(name, tensor)
        if chosen in {"F16", "F32", "BF16"}:
            twins[name] = _write_plain(writer, name, tensor, chosen)
            continue
        kind, block = BY_NAME[chosen]
        octets = random_blocks(block, tensor.numel() // block.numbers, seed=len(twins))
        numbers = gguf.quants.dequantize(octets, kind)
        twins[name] = torch.from_numpy(numbers.astype(np.float32)).view(tensor.shape)
        rows = tensor.shape[0]
        if tensor.dim() != 2 or tensor.shape[1] % block.numbers:
            rows = len(octets)
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(tensor.shape))
        writer.add_tensor(name, octets.reshape(rows, -1), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return twins


def _write_plain(writer: gguf.GGUFWriter, name: str, tensor: Tensor, kind: str) -> Tensor:
    if kind == "BF16":
        halves = tensor.bfloat16()
        writer.add_tensor(name, halves.view(torch.uint8).numpy(), raw_dtype=Kind.BF16)
        return halves.float()
    numbers = tensor.half() if kind == "F16" else tensor.float()
    writer.add_tensor(name, numbers.contiguous().numpy())
    return numbers.float()
