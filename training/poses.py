"""Turns MediaPipe's pose networks into safetensors: `python -m training.poses --help`."""

import argparse
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tflite
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from safetensors.torch import save_file

from training.loop import say

FOLDER: Final = Path("libs/weights/preprocess")
MODULES: Final = "mediapipe/modules"
# Each with the outputs that are kept: boxes and certainty; points, presence and heat maps.
NETWORKS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "pose-detection": (
        f"{MODULES}/pose_detection/pose_detection.tflite",
        ("Identity", "Identity_1"),
    ),
    "pose-landmarks": (
        f"{MODULES}/pose_landmark/pose_landmark_full.tflite",
        ("Identity", "Identity_1", "Identity_3"),
    ),
}
KINDS: Final = {
    number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)
}
ACTIVATIONS: Final = {0: "", 1: "relu", 3: "relu6"}
# Weights are read off the interpreter, so what unpacks them is no step.
UNPACKING: Final = frozenset({"DEQUANTIZE", "DENSIFY"})
Step = dict[str, Any]


class UnknownFormat(ValueError):
    """The network does something that this converter was not written for."""


class Network:
    """A TFLite network: its operators, and its constants as the interpreter unpacks them."""

    def __init__(self, data: bytes) -> None:
        self.model = tflite.Model.GetRootAs(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.interpreter = Interpreter(
            model_content=data,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        self.interpreter.allocate_tensors()
        self.interpreter.invoke()
        self.tensors: dict[str, torch.Tensor] = {}

    def steps(self, names: tuple[str, ...]) -> tuple[list[Step], list[str]]:
        """Return what leads to the wanted outputs, and where these are then found."""
        made = map(self.graph.Outputs, range(self.graph.OutputsLength()))
        number_of = {self.name(number): number for number in made}
        outputs = [str(number_of[name]) for name in names]
        wanted, kept = set(outputs), []
        for index in reversed(range(self.graph.OperatorsLength())):
            operator = self.graph.Operators(index)
            if str(operator.Outputs(0)) in wanted and self.kind(operator) not in UNPACKING:
                step = self.step(operator)
                wanted.update(step["of"])
                kept.append(step)
        return kept[::-1], outputs

    def name(self, number: int) -> str:
        """Return what a value is called."""
        name: bytes = self.graph.Tensors(number).Name()
        return name.decode()

    def kind(self, operator: Any) -> str:
        """Return the name of an operator."""
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        return str(KINDS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())])

    def step(self, operator: Any) -> Step:
        """Return an operator as a step."""
        kind = self.kind(operator)
        if kind not in STEPS:
            raise UnknownFormat(f"there is no step for {kind}")
        source = self.graph.Inputs(0)
        numbers = [operator.Inputs(n) for n in range(operator.InputsLength())]
        step = STEPS[kind](self, operator, numbers)
        values = numbers if kind in {"ADD", "CONCATENATION"} else numbers[:1]
        of = ["input" if number == source else str(number) for number in values]
        return {**step, "of": of, "to": str(operator.Outputs(0))}

    def keep(self, number: int, order: tuple[int, ...]) -> str:
        """Keep a constant with its axes in another order, and return its name."""
        name = f"t{number}"
        value = torch.from_numpy(self.interpreter.get_tensor(number).astype(np.float32))
        self.tensors[name] = value.permute(order).contiguous()
        return name

    def shape(self, number: int) -> list[int]:
        """Return the shape of a value: count, rows, columns, channels."""
        return [int(side) for side in self.graph.Tensors(number).ShapeAsNumpy()]


def options_of(operator: Any, kind: Any) -> Any:
    """Return the options of an operator."""
    options, table = kind(), operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def padding(sides: list[int], window: list[int], strides: list[int]) -> list[int]:
    """Return what TFLite calls SAME, the last axis first: the odd pixel comes behind."""
    found = []
    for side, wide, stride in reversed(list(zip(sides, window, strides, strict=True))):
        missing = max(0, (-(-side // stride) - 1) * stride + wide - side)
        found += [missing // 2, missing - missing // 2]
    return found


def convolution(network: Network, operator: Any, numbers: list[int], *, deep: bool) -> Step:
    """Return a convolution, over all channels or over each alone."""
    options = options_of(operator, tflite.Conv2DOptions if deep else tflite.DepthwiseConv2DOptions)
    if (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
        raise UnknownFormat("there is no step for dilated convolutions")
    given, weight, bias = numbers
    shape, strides = network.shape(given), [options.StrideH(), options.StrideW()]
    window = network.shape(weight)[1:3]
    same = options.Padding() == tflite.Padding.SAME
    return {
        "do": "convolve",
        "weight": network.keep(weight, (0, 3, 1, 2) if deep else (3, 0, 1, 2)),
        "bias": network.keep(bias, (0,)),
        "stride": strides,
        "pad": padding(shape[1:3], window, strides) if same else [0] * 4,
        "groups": 1 if deep else shape[3],
        "act": ACTIVATIONS[options.FusedActivationFunction()],
    }


def added(_: Network, operator: Any, __: list[int]) -> Step:
    """Return the sum of two values."""
    options = options_of(operator, tflite.AddOptions)
    return {"do": "add", "act": ACTIVATIONS[options.FusedActivationFunction()]}


def padded(network: Network, _: Any, numbers: list[int]) -> Step:
    """Return a frame of zeros, which may also add channels."""
    sides = network.interpreter.get_tensor(numbers[1]).tolist()
    return {"do": "pad", "pad": [*sides[2], *sides[1], *sides[3]]}


def pooled(network: Network, operator: Any, numbers: list[int]) -> Step:
    """Return the largest of each window."""
    options = options_of(operator, tflite.Pool2DOptions)
    window = [options.FilterHeight(), options.FilterWidth()]
    strides = [options.StrideH(), options.StrideW()]
    if any(padding(network.shape(numbers[0])[1:3], window, strides)):
        raise UnknownFormat("there is no step for pools that need a frame")
    return {"do": "pool", "window": window, "stride": strides}


def resized(network: Network, operator: Any, numbers: list[int]) -> Step:
    """Return a value at another size."""
    options = options_of(operator, tflite.ResizeBilinearOptions)
    if options.AlignCorners() or not options.HalfPixelCenters():
        raise UnknownFormat("there is no step for this way of resizing")
    return {"do": "resize", "size": network.interpreter.get_tensor(numbers[1]).tolist()}


def spread(_: Network, operator: Any, __: list[int]) -> Step:
    """Return pixels made out of channels."""
    return {"do": "spread", "block": options_of(operator, tflite.DepthToSpaceOptions).BlockSize()}


def flattened(network: Network, operator: Any, _: list[int]) -> Step:
    """Return a value in another shape."""
    return {"do": "flatten", "shape": network.shape(operator.Outputs(0))[1:]}


def joined(_: Network, operator: Any, __: list[int]) -> Step:
    """Return values one behind the other."""
    return {"do": "join", "axis": options_of(operator, tflite.ConcatenationOptions).Axis()}


def squashed(_: Network, __: Any, ___: list[int]) -> Step:
    """Return a value between 0 and 1."""
    return {"do": "sigmoid"}


STEPS: Final[Mapping[str, Callable[[Network, Any, list[int]], Step]]] = {
    "CONV_2D": lambda *given: convolution(*given, deep=True),
    "DEPTHWISE_CONV_2D": lambda *given: convolution(*given, deep=False),
    "ADD": added,
    "PAD": padded,
    "MAX_POOL_2D": pooled,
    "RESIZE_BILINEAR": resized,
    "DEPTH_TO_SPACE": spread,
    "RESHAPE": flattened,
    "CONCATENATION": joined,
    "LOGISTIC": squashed,
}


def main() -> None:
    """Read the wheel and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.21-*.whl")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for title, (member, wanted) in NETWORKS.items():
        with zipfile.ZipFile(arguments.wheel) as wheel:
            network = Network(wheel.read(member))
        steps, outputs = network.steps(wanted)
        metadata = {
            "modelspec.title": f"MediaPipe {title}",
            "license": "Apache-2.0",
            "steps": json.dumps(steps),
            "outputs": json.dumps(outputs),
        }
        halves = {name: value.half() for name, value in network.tensors.items()}
        path = arguments.out / f"{title}.safetensors"
        save_file(halves, path, metadata=metadata)
        say(file=path, tensors=len(halves), bytes=path.stat().st_size)


if __name__ == "__main__":
    main()
