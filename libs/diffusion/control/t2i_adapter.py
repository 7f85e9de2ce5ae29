"""T2I-Adapters (Mou et al. 2023): small networks that look at a hint once, and lead a whole course.

Full ones for Stable Diffusion 1 and SDXL, and light ones, in TencentARC's names and diffusers'.
What they see is added inside the UNet on its way down, so that all that follows sees it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat, Shapes
from libs.diffusion.control.base import Hint
from libs.diffusion.loader.build import build
from libs.sampling.control import Call, Residuals

FULL: Final = "conv_in.weight"
LIGHT: Final = "body.0.out_conv.weight"
FULL_BLOCK: Final = "body.0.block1.weight"
# Where what is seen is added, by the kind of place that the UNet knows.
INSIDE: Final = "inside"
BLOCKS_PER_LEVEL: Final = 2
# So many pixels a side become one place.
UNSHUFFLED: Final = 8
UNSHUFFLED_XL: Final = 16
# Inputs of the first layer that only those for SDXL have: of a grey and of a coloured hint.
INPUTS_XL: Final = (UNSHUFFLED_XL**2, 3 * UNSHUFFLED_XL**2)
# The level of those for SDXL that halves its input; the others do from the second level on.
HALVED_XL: Final = (2,)
IN_DIFFUSERS: Final = re.compile(r"body\.(\d+)\.(?:resnets\.(\d+)\.)?(.+)")


class Halved(nn.Module):
    """Halves a picture. Odd sides are first made even by nothing, as in ComfyUI."""

    def __init__(self, channels: int, learned: bool) -> None:
        super().__init__()
        if learned:
            self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return it at half the size, rounded up."""
        if hasattr(self, "op"):
            halved: Tensor = self.op(x)
            return halved
        return functional.avg_pool2d(x, 2, 2, padding=[x.shape[2] % 2, x.shape[3] % 2])


class Block(nn.Module):
    """One block of a full adapter."""

    def __init__(self, shapes: Shapes, halves: bool) -> None:
        super().__init__()
        outputs, inner, _, _ = shapes["block1.weight"]
        inputs = inner
        self.down_opt: nn.Module | None = None
        if "in_conv.weight" in shapes:
            inputs, kernel = shapes["in_conv.weight"][1:3]
            self.in_conv = _conv(inputs, inner, kernel)
        if halves:
            self.down_opt = Halved(inputs, "down_opt.op.weight" in shapes)
        self.block1 = _conv(inner, outputs, 3)
        self.block2 = _conv(outputs, outputs, shapes["block2.weight"][2])
        if "skep.weight" in shapes:
            self.skep = _conv(shapes["skep.weight"][1], outputs, shapes["skep.weight"][2])

    def forward(self, x: Tensor) -> Tensor:
        """Return what the next block sees."""
        x = x if self.down_opt is None else self.down_opt(x)
        x = self.in_conv(x) if hasattr(self, "in_conv") else x
        seen = self.block2(functional.relu(self.block1(x)))
        kept = self.skep(x) if hasattr(self, "skep") else x
        both: Tensor = seen + kept
        return both


class Full(nn.Module):
    """A full adapter: what each level sees."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        width, inputs, _, _ = shapes[FULL]
        self.unshuffled = UNSHUFFLED_XL if inputs in INPUTS_XL else UNSHUFFLED
        self.conv_in = _conv(inputs, width, 3)
        count = len({name.split(".")[1] for name in shapes if name.startswith("body.")})
        levels = range(1, count // BLOCKS_PER_LEVEL) if self.unshuffled == UNSHUFFLED else HALVED_XL
        halved = {level * BLOCKS_PER_LEVEL for level in levels}
        self.body = nn.ModuleList(
            Block(_under(shapes, f"body.{at}."), at in halved) for at in range(count)
        )

    def forward(self, hint: Tensor) -> list[Tensor]:
        """Return what each level sees of a hint."""
        x = self.conv_in(functional.pixel_unshuffle(hint, self.unshuffled))
        seen = []
        for at, block in enumerate(self.body):
            x = block(x)
            if at % BLOCKS_PER_LEVEL:
                seen.append(x)
        return seen


class LightBlock(nn.Module):
    """One block in a level of a light adapter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block1, self.block2 = _conv(width, width, 3), _conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the next block sees."""
        seen: Tensor = self.block2(functional.relu(self.block1(x)))
        return seen + x


class LightLevel(nn.Module):
    """One level of a light adapter, which works in a quarter of its channels."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        inner, inputs, _, _ = shapes["in_conv.weight"]
        blocks = len({name.split(".")[1] for name in shapes if name.startswith("body.")})
        self.in_conv = _conv(inputs, inner, 1)
        self.body = nn.Sequential(*(LightBlock(inner) for _ in range(blocks)))
        self.out_conv = _conv(inner, shapes["out_conv.weight"][0], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the level sees."""
        seen: Tensor = self.out_conv(self.body(self.in_conv(x)))
        return seen


class Light(nn.Module):
    """A light adapter: what each level sees."""

    unshuffled = UNSHUFFLED

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        count = len({name.split(".")[1] for name in shapes})
        self.halved = Halved(0, learned=False)
        self.body = nn.ModuleList(LightLevel(_under(shapes, f"body.{at}.")) for at in range(count))

    def forward(self, hint: Tensor) -> list[Tensor]:
        """Return what each level sees of a hint."""
        x, seen = functional.pixel_unshuffle(hint, self.unshuffled), []
        for at, level in enumerate(self.body):
            x = level(self.halved(x) if at else x)
            seen.append(x)
        return seen


def detect(shapes: Shapes) -> AdapterControl | None:
    """Return the kind, None if this is no T2I-Adapter."""
    named = {name: shapes[theirs] for theirs, name in published(shapes).items()}
    if LIGHT in named:
        return AdapterControl(named["body.0.in_conv.weight"][1], "t2i_adapter_light")
    if FULL in named and FULL_BLOCK in named:
        return AdapterControl(named[FULL][1], "t2i_adapter")
    return None


@dataclass(frozen=True)
class AdapterControl:
    """A T2I-Adapter whose first layer has so many inputs."""

    inputs: int
    name: str
    latent: LatentFormat | None = None
    types: int = 0
    extra_channels: int = 0
    half: torch.dtype = torch.float16
    looks_once: bool = True

    @property
    def for_sdxl(self) -> bool:
        """Say whether it is one for SDXL."""
        return self.name == "t2i_adapter" and self.inputs in INPUTS_XL

    @property
    def multiple(self) -> int:
        """What the sides of its hints are a multiple of, in pixels."""
        return UNSHUFFLED_XL if self.for_sdxl else UNSHUFFLED

    def build(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Build the network from its tensors; raise Refused if they do not fit."""
        named = {name: tensors[theirs] for theirs, name in published(tensors).items()}
        shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
        make = Light if LIGHT in shapes else Full
        try:
            return build(lambda: make(shapes), named)
        except KeyError as error:
            raise Refused("the T2I-Adapter is not whole", missing=str(error)) from error

    def residuals(self, network: nn.Module, call: Call, hint: Hint, strength: float) -> Residuals:
        """Return what is to be added on the way down; only the hint counts, so once is enough."""
        sdxl = "text_embeds" in call.extras
        if "pooled" in call.extras or sdxl != self.for_sdxl:
            wanted = "SDXL" if self.for_sdxl else "Stable Diffusion 1"
            raise Refused(f"this T2I-Adapter is for {wanted} models, and the model is none")
        pixels = hint.values
        if self.inputs == self.multiple**2:
            pixels = pixels.mean(1, keepdim=True)
        return {INSIDE: [strength * seen for seen in network(pixels)]}


def published(names: Iterable[str]) -> dict[str, str]:
    """Return what TencentARC calls each tensor; diffusers counts the blocks by levels."""
    found = {name: name.removeprefix("adapter.") for name in names}
    if not any(".resnets." in name for name in found):
        return found
    light = LIGHT in found.values()
    return {name: _counted(inner, light) for name, inner in found.items()}


def _counted(name: str, light: bool) -> str:
    block = IN_DIFFUSERS.fullmatch(name)
    if block is None or (light and block[2] is None):
        return name
    if light:
        return f"body.{block[1]}.body.{block[2]}.{block[3]}"
    return f"body.{BLOCKS_PER_LEVEL * int(block[1]) + int(block[2] or 0)}.{block[3]}"


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def _under(shapes: Shapes, prefix: str) -> Shapes:
    return {n.removeprefix(prefix): s for n, s in shapes.items() if n.startswith(prefix)}
