"""A convolutional network that is written down as a list of steps beside its weights.

Networks that come from other runtimes are kept like this: the steps are JSON in the metadata of
a safetensors file, and name the tensors of that file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.loader.build import build
from libs.diffusion.loader.file import WeightsFile

# Where the network's own input lies among the values of the steps.
INPUT = "input"
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "": lambda value: value,
    "relu": functional.relu,
    "relu6": functional.relu6,
}
Step = Mapping[str, Any]


class Program(nn.Module):
    """Steps that are taken one after the other on [count, channels, height, width].

    A value that no later step reads is let go of.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        outputs: Sequence[str],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        super().__init__()
        self.steps = tuple(steps)
        self.outputs = tuple(outputs)
        last = {name: number for number, step in enumerate(steps) for name in step["of"]}
        self.last = {name: last.get(name, 0) for name in last if name not in self.outputs}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.empty(shape))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the values that the program calls its outputs."""
        values = {INPUT: pixels}
        for number, step in enumerate(self.steps):
            given = [values[name] for name in step["of"]]
            values[step["to"]] = DOING[step["do"]](self, step, given)
            for name in step["of"]:
                if self.last.get(name) == number:
                    values.pop(name, None)
        return tuple(values[name] for name in self.outputs)


def _convolve(program: Program, step: Step, given: list[Tensor]) -> Tensor:
    weight, bias = (getattr(program, step[part]) for part in ("weight", "bias"))
    padded = functional.pad(given[0], step["pad"])
    made = functional.conv2d(padded, weight, bias, tuple(step["stride"]), groups=step["groups"])
    return ACTIVATIONS[step["act"]](made)


def _add(_: Program, step: Step, given: list[Tensor]) -> Tensor:
    return ACTIVATIONS[step["act"]](given[0] + given[1])


def _pad(_: Program, step: Step, given: list[Tensor]) -> Tensor:
    return functional.pad(given[0], step["pad"])


def _pool(_: Program, step: Step, given: list[Tensor]) -> Tensor:
    return functional.max_pool2d(given[0], tuple(step["window"]), tuple(step["stride"]))


def _resize(_: Program, step: Step, given: list[Tensor]) -> Tensor:
    return functional.interpolate(given[0], tuple(step["size"]), mode="bilinear")


def _spread(_: Program, step: Step, given: list[Tensor]) -> Tensor:
    """Make pixels out of channels, the place in the block being the slower index."""
    block = step["block"]
    count, channels, rows, columns = given[0].shape
    parts = given[0].reshape(count, block, block, channels // block**2, rows, columns)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(count, -1, rows * block, columns * block)


def _flatten(_: Program, step: Step, given: list[Tensor]) -> Tensor:
    """Make rows of numbers, the channel being the fastest index."""
    return given[0].movedim(1, -1).reshape(given[0].shape[0], *step["shape"])


def _join(_: Program, step: Step, given: list[Tensor]) -> Tensor:
    return torch.cat(given, step["axis"])


def _sigmoid(_: Program, __: Step, given: list[Tensor]) -> Tensor:
    return given[0].sigmoid()


DOING: Mapping[str, Callable[[Program, Step, list[Tensor]], Tensor]] = {
    "convolve": _convolve,
    "add": _add,
    "pad": _pad,
    "pool": _pool,
    "resize": _resize,
    "spread": _spread,
    "flatten": _flatten,
    "join": _join,
    "sigmoid": _sigmoid,
}


def read_program(file: WeightsFile) -> Program:
    """Return the network in a file, in float32; raise Refused if it is of another kind."""
    told = file.metadata
    try:
        steps, outputs = json.loads(told["steps"]), json.loads(told["outputs"])
    except (KeyError, ValueError) as error:
        raise Refused("the file holds no steps of a network", file=file.path.name) from error
    tensors = file.read_under("", torch.float32)
    return build(lambda: Program(steps, outputs, file.shapes), tensors)
