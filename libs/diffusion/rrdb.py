"""RRDBNet, the network of ESRGAN and Real-ESRGAN, built from its tensors in any of three layouts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.loader.build import build

SLOPE: Final = 0.2
# What a block has learned is added to what it was given at this share.
SHARE: Final = 0.2
COLOURS: Final = 3
DENSE_CONVOLUTIONS: Final = 5
FIRST: Final = "conv_first.weight"
# Names of ESRGAN's first release, its block for block, and of its second.
SECOND_RELEASE: Final = (
    (r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\.", r"body.\1.rdb\2.conv\3."),
    (r"trunk_conv\.", "conv_body."),
    (r"upconv(\d)\.", r"conv_up\1."),
    (r"HRconv\.", "conv_hr."),
)
FIRST_BLOCK: Final = (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3.")
FIRST_TRUNK: Final = re.compile(r"model\.1\.sub\.\d+\.(weight|bias)")
FIRST_TAIL: Final = re.compile(r"model\.(\d+)\.(weight|bias)")


class Dense(nn.Module):
    """Five convolutions, each of which sees what all before it made."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for number in range(DENSE_CONVOLUTIONS):
            made = growth if number < DENSE_CONVOLUTIONS - 1 else width
            self.add_module(
                f"conv{number + 1}", nn.Conv2d(width + number * growth, made, 3, padding=1)
            )

    def forward(self, given: Tensor) -> Tensor:
        """Return what was given with what was learned added."""
        seen = [given]
        for convolution in self.children():
            seen.append(convolution(torch.cat(seen, dim=1)))
            if len(seen) <= DENSE_CONVOLUTIONS:
                seen[-1] = functional.leaky_relu(seen[-1], SLOPE)
        return given + seen[-1] * SHARE


class Block(nn.Module):
    """Three dense parts in a row."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (Dense(width, growth) for _ in range(3))

    def forward(self, given: Tensor) -> Tensor:
        """Return what was given with what was learned added."""
        learned: Tensor = self.rdb3(self.rdb2(self.rdb1(given)))
        return given + learned * SHARE


class RrdbNetwork(nn.Module):
    """Blocks at the size of the picture, or of its halves, and then doublings.

    `folded` is how many pixels a side are folded into channels before anything else.
    """

    def __init__(
        self, *, width: int, growth: int, blocks: int, doublings: int, folded: int
    ) -> None:
        super().__init__()
        self.folded = folded
        self.doublings = doublings
        self.factor = 2**doublings // folded
        self.conv_first = nn.Conv2d(COLOURS * folded**2, width, 3, padding=1)
        self.body = nn.ModuleList(Block(width, growth) for _ in range(blocks))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for number in range(doublings):
            self.add_module(f"conv_up{number + 1}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, COLOURS, 3, padding=1)

    @property
    def reach(self) -> int | None:
        """How far it sees: so far that tiles cannot all be wide enough."""
        return None

    def forward(self, pixels: Tensor) -> Tensor:
        """Return [count, 3, height, width] times the factor."""
        height, width = (side * self.factor for side in pixels.shape[-2:])
        hidden = self.conv_first(self._fold(pixels))
        deep = hidden
        for block in self.body:
            deep = block(deep)
        hidden = hidden + self.conv_body(deep)
        for number in range(self.doublings):
            larger = functional.interpolate(hidden, scale_factor=2.0, mode="nearest")
            enlarge = self.get_submodule(f"conv_up{number + 1}")
            hidden = functional.leaky_relu(enlarge(larger), SLOPE)
        drawn: Tensor = self.conv_last(functional.leaky_relu(self.conv_hr(hidden), SLOPE))
        return drawn[..., :height, :width]

    def _fold(self, pixels: Tensor) -> Tensor:
        if self.folded == 1:
            return pixels
        missing = (-pixels.shape[-1] % self.folded, -pixels.shape[-2] % self.folded)
        whole = functional.pad(pixels, (0, missing[0], 0, missing[1]), mode="replicate")
        return functional.pixel_unshuffle(whole, self.folded)


def is_rrdb(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether the tensors are such a network's, in whichever layout."""
    return FIRST in tensors or "model.1.sub.0.RDB1.conv1.0.weight" in tensors


def build_rrdb(tensors: Mapping[str, Tensor]) -> RrdbNetwork:
    """Build the network from its tensors; raise Refused if they do not fit."""
    named = _renamed(tensors)
    try:
        first, dense = named[FIRST], named["body.0.rdb1.conv1.weight"]
    except KeyError as error:
        raise Refused("the upscaler's file is not whole", missing=str(error)) from error
    folded = round((first.shape[1] / COLOURS) ** 0.5)
    return build(
        lambda: RrdbNetwork(
            width=first.shape[0],
            growth=dense.shape[0],
            blocks=_count(named, r"body\.(\d+)\.rdb1\.conv1\.weight"),
            doublings=_count(named, r"conv_up(\d+)\.weight"),
            folded=folded,
        ),
        named,
    )


def _count(named: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in named)


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the names of Real-ESRGAN."""
    if "model.0.weight" in tensors:
        return _from_first_release(tensors)
    renamed = {}
    for name, tensor in tensors.items():
        new = name
        for old, pattern in SECOND_RELEASE:
            new = re.sub(f"^{old}", pattern, new)
        renamed[new] = tensor
    return renamed


def _from_first_release(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Its convolutions are numbered through, with gaps where it enlarges."""
    numbers = {int(found[1]) for name in tensors if (found := FIRST_TAIL.fullmatch(name))}
    head, *enlarging, fine, last = sorted(numbers)
    places = {head: "conv_first", fine: "conv_hr", last: "conv_last"}
    places |= {number: f"conv_up{count}" for count, number in enumerate(enlarging, start=1)}
    renamed = {}
    for name, tensor in tensors.items():
        if found := FIRST_TAIL.fullmatch(name):
            renamed[f"{places[int(found[1])]}.{found[2]}"] = tensor
        elif found := FIRST_TRUNK.fullmatch(name):
            renamed[f"conv_body.{found[1]}"] = tensor
        else:
            renamed[re.sub(*FIRST_BLOCK, name)] = tensor
    return renamed
