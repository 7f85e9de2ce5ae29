"""How fast a checkpoint gets into memory, beside a plain read of the same file, both cold."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.bench.figures import Figures

MB: Final = 1_000_000
TENSORS: Final = 128
SIZES_MB: Final = {"2gb": 2048, "1gb": 1024}
ROUNDS: Final = 5
CHUNK_BYTES: Final = 16 * 1024 * 1024
PAGE_BYTES: Final = 4096
PROBES: Final = 64


def measure(folder: Path) -> Figures:
    """Read files of 1 and 2 GB in half precision, as they lie on the disk."""
    figures: Figures = {}
    for name, size_mb in SIZES_MB.items():
        path = folder / f"{name}.safetensors"
        _write(path, size_mb * MB)
        figures |= {f"{figure}_{name}": value for figure, value in _compared(path).items()}
        path.unlink()
    return figures


def _compared(path: Path) -> Figures:
    """Return the medians of several rounds; in each second one the load comes first."""
    _load(path)  # What is imported is no part of the reading.
    plain, load, shares = [], [], []
    for number in range(ROUNDS):
        order = (_plain, _load) if number % 2 == 0 else (_load, _plain)
        taken = {read: _timed(path, read) for read in order}
        plain.append(taken[_plain])
        load.append(taken[_load])
        shares.append(taken[_plain] / taken[_load])
    size_mb = path.stat().st_size / MB
    return {
        "plain_mb_per_second": size_mb / statistics.median(plain),
        "load_mb_per_second": size_mb / statistics.median(load),
        "load_seconds": statistics.median(load),
        "of_plain": statistics.median(shares),
    }


def _timed(path: Path, read: Callable[[Path], None]) -> float:
    _forget(path)
    began = time.perf_counter()
    read(path)
    return time.perf_counter() - began


def _plain(path: Path) -> None:
    buffer = bytearray(CHUNK_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _load(path: Path) -> None:
    """Load all tensors, and touch every page: a mapped one may not have been read yet."""
    import torch

    from libs.diffusion.loader.file import WeightsFile

    tensors = WeightsFile.open(path).read_under("", torch.float16)
    for tensor in tensors.values():
        tensor.view(torch.uint8).flatten()[::PAGE_BYTES].sum()


def _forget(path: Path) -> None:
    """Take the file out of memory, and make sure that it is."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        step = path.stat().st_size // PROBES
        held = sum(_is_held(file.fileno(), number * step) for number in range(PROBES))
    if held > PROBES // 10:
        raise AssertionError(f"{held} of {PROBES} probed pages are still in memory")


def _is_held(descriptor: int, place: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(1)], place, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False


def _write(path: Path, size: int) -> None:
    """Write a file of float16 numbers, a block of random ones again and again."""
    each = size // TENSORS // 2 * 2
    listed = {
        f"t{number}": {
            "dtype": "F16",
            "shape": [each // 2],
            "data_offsets": [number * each, (number + 1) * each],
        }
        for number in range(TENSORS)
    }
    header = json.dumps(listed).encode()
    header += b" " * (-len(header) % 8)
    block = os.urandom(CHUNK_BYTES)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        left = each * TENSORS
        while left:
            left -= file.write(block[:left])
        file.flush()
        os.fsync(file.fileno())
