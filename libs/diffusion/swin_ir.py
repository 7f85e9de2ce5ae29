"""SwinIR (Liang et al. 2021): an upscaler of transformers over windows, every other time shifted.

The ways of its last part: shuffled pixels, shuffled at once, nearest pixels and convolutions
("real-world"), and none, for networks that clean pictures of the same size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.loader.build import build

MARK: Final = "layers.0.residual_group.blocks.0.attn.relative_position_bias_table"
BLOCK: Final = "layers.{}.residual_group.blocks.{}."
# What the network makes itself.
COUNTED: Final = (".attn_mask", ".relative_position_index")
MEAN: Final = (0.4488, 0.4371, 0.4040)
SLOPE: Final = 0.2
TAIL_SLOPE: Final = 0.01
MASKED: Final = -100.0

TAIL_PLACES: Final = (
    *("conv_before_upsample.", "upsample.", "conv_up1", "conv_up2", "conv_hr", "conv_last"),
)

Shapes = Mapping[str, tuple[int, ...]]


class Attention(nn.Module):
    """Attention in a window, with a bias by how places lie to each other."""

    def __init__(self, width: int, window: int, heads: int, *, biased: bool) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width, bias=biased)
        self.proj = nn.Linear(width, width)
        places = (2 * window - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.empty(places, heads))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return [windows, places, width]; the mask is one for each window of a picture."""
        query, key, value = _in_heads(self.qkv(x), self.heads)
        table = self.relative_position_bias_table[relative_places(self.window, x.device)]
        bias = table.permute(2, 0, 1)[None]
        if mask is not None:
            bias = bias + mask.repeat(len(x) // len(mask), 1, 1)[:, None]
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query))
        out: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return out


def _in_heads(joined: Tensor, heads: int) -> Tensor:
    """Return questions, keys and values [3, windows, heads, places, width of a head]."""
    return joined.reshape(*joined.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)


class Block(nn.Module):
    """One transformer block; every other one looks through windows shifted by half."""

    def __init__(
        self, width: int, window: int, heads: int, hidden: int, *, shifted: bool, biased: bool
    ) -> None:
        super().__init__()
        self.window, self.shift = window, window // 2 if shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, window, heads, biased=biased)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        """Return [pictures, rows, columns, width]."""
        rows, columns = x.shape[1:3]
        inner = self.norm1(x)
        mask = None
        if self.shift:
            inner = torch.roll(inner, (-self.shift, -self.shift), (1, 2))
            mask = shifted_mask(rows, columns, self.window, self.shift, x.device)
        seen = self.attn(windows(inner, self.window), mask)
        seen = whole(seen, self.window, rows, columns)
        if self.shift:
            seen = torch.roll(seen, (self.shift, self.shift), (1, 2))
        x = x + seen
        mixed: Tensor = self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))
        return x + mixed


class Group(nn.Module):
    """Blocks in a row and a convolution, added to what was given."""

    def __init__(self, blocks: list[Block], conv: nn.Module) -> None:
        super().__init__()
        self.residual_group = nn.ModuleDict({"blocks": nn.ModuleList(blocks)})
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Return [pictures, rows, columns, width]."""
        inner = x
        for block in self.residual_group.get_submodule("blocks").children():
            inner = block(inner)
        made: Tensor = self.conv(inner.movedim(-1, 1)).movedim(1, -1)
        return x + made


def windows(x: Tensor, side: int) -> Tensor:
    """Return [windows, places, width] of [pictures, rows, columns, width]."""
    count, rows, columns, width = x.shape
    apart = x.reshape(count, rows // side, side, columns // side, side, width)
    return apart.transpose(2, 3).reshape(-1, side * side, width)


def whole(x: Tensor, side: int, rows: int, columns: int) -> Tensor:
    """Return the pictures of windows."""
    apart = x.reshape(-1, rows // side, columns // side, side, side, x.shape[-1])
    return apart.transpose(2, 3).reshape(-1, rows, columns, x.shape[-1])


def relative_places(side: int, device: torch.device) -> Tensor:
    """Return [places, places]: where in the table of biases each pair of places stands."""
    line = torch.arange(side, device=device)
    at = torch.stack(torch.meshgrid(line, line, indexing="ij")).flatten(1)
    apart = at[:, :, None] - at[:, None] + side - 1
    return apart[0] * (2 * side - 1) + apart[1]


def shifted_mask(rows: int, columns: int, side: int, shift: int, device: torch.device) -> Tensor:
    """Return [windows, places, places]: what lies at other edges of the picture is not seen."""
    marks = [
        torch.bucketize(torch.arange(length, device=device), edges, right=True)
        for length in (rows, columns)
        for edges in (torch.tensor([length - side, length - shift], device=device),)
    ]
    regions = (3 * marks[0][:, None] + marks[1][None])[None, :, :, None]
    parts = windows(regions, side)[..., 0]
    apart = parts[:, None] != parts[:, :, None]
    return apart.float() * MASKED


class SwinNetwork(nn.Module):
    """The network; the first part is `groups` over what one convolution sees."""

    # What is seen depends on where windows lie, so that parts of a picture are not its own parts.
    reach = None

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        width, channels = shapes["conv_first.weight"][:2]
        self.window = (math.isqrt(shapes[MARK][0]) + 1) // 2
        self.conv_first = _conv(channels, width)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(width)})
        self.layers = nn.ModuleList(_group(shapes, at) for at in range(_count(shapes, "layers.")))
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = _body_end(shapes, "conv_after_body", width)
        self.tail = tail_of(shapes)
        self.factor = factor_of(shapes, self.tail)
        for name, shape in shapes.items():
            place, _, leaf = name.rpartition(".")
            if leaf == "weight" and place.startswith(TAIL_PLACES):
                self._add(place, nn.Conv2d(shape[1], shape[0], 3, padding=1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return [count, 3, height, width] times the factor."""
        rows, columns = pixels.shape[-2:]
        mean = pixels.new_tensor(MEAN)[:, None, None]
        x = _in_windows(pixels, self.window) - mean
        begun = self.conv_first(x)
        inner = self.patch_embed["norm"](begun.movedim(1, -1))
        for group in self.layers:
            inner = group(inner)
        seen = self.conv_after_body(self.norm(inner).movedim(-1, 1)) + begun
        larger = x + self._of("conv_last", seen) if self.tail == "same" else self._end(seen)
        return larger[..., : rows * self.factor, : columns * self.factor] + mean

    def _end(self, seen: Tensor) -> Tensor:
        if self.tail == "direct":
            return functional.pixel_shuffle(self._of("upsample.0", seen), self.factor)
        x = functional.leaky_relu(self._of("conv_before_upsample.0", seen), TAIL_SLOPE)
        if self.tail == "shuffled":
            at = 0
            while self._has(f"upsample.{at}"):
                made = self._of(f"upsample.{at}", x)
                x, at = (
                    functional.pixel_shuffle(made, math.isqrt(made.shape[1] // x.shape[1])),
                    at + 2,
                )
            return self._of("conv_last", x)
        for name in ("conv_up1", "conv_up2"):
            if self._has(name):
                larger = functional.interpolate(x, scale_factor=2.0, mode="nearest")
                x = functional.leaky_relu(self._of(name, larger), SLOPE)
        x = functional.leaky_relu(self._of("conv_hr", x), SLOPE)
        return self._of("conv_last", x)

    def _add(self, place: str, module: nn.Module) -> None:
        home, _, leaf = place.rpartition(".")
        if home and not hasattr(self, home):
            self.add_module(home, nn.Module())
        self.get_submodule(home).add_module(leaf, module)

    def _has(self, place: str) -> bool:
        return place in dict(self.named_modules())

    def _of(self, place: str, x: Tensor) -> Tensor:
        made: Tensor = self.get_submodule(place)(x)
        return made


def tail_of(shapes: Shapes) -> str:
    """Return the way in which the last part makes pictures larger."""
    if "conv_before_upsample.0.weight" in shapes:
        return "nearest" if "conv_up1.weight" in shapes else "shuffled"
    return "direct" if "upsample.0.weight" in shapes else "same"


def factor_of(shapes: Shapes, tail: str) -> int:
    """Return how many times larger its pictures are."""
    if tail == "nearest":
        return 4 if "conv_up2.weight" in shapes else 2
    if tail == "direct":
        return math.isqrt(shapes["upsample.0.weight"][0] // shapes["conv_first.weight"][1])
    factor, at = 1, 0
    while tail == "shuffled" and f"upsample.{at}.weight" in shapes:
        outputs, inputs = shapes[f"upsample.{at}.weight"][:2]
        factor, at = factor * math.isqrt(outputs // inputs), at + 2
    return factor


def is_swin(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether these are a SwinIR's tensors."""
    return MARK in tensors and "conv_first.weight" in tensors


def build_swin(tensors: Mapping[str, Tensor]) -> SwinNetwork:
    """Build the network from its tensors; raise Refused if they do not fit."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTED)}
    shapes = {name: tuple(tensor.shape) for name, tensor in kept.items()}
    if shapes["conv_first.weight"][1] != len(MEAN):
        raise Refused(
            "only SwinIR networks of coloured pictures can be read",
            channels=shapes["conv_first.weight"][1],
        )
    return build(lambda: SwinNetwork(shapes), kept)


def _group(shapes: Shapes, at: int) -> Group:
    blocks = []
    for number in range(_count(shapes, f"layers.{at}.residual_group.blocks.")):
        name = BLOCK.format(at, number)
        places, heads = shapes[f"{name}attn.relative_position_bias_table"]
        hidden, width = shapes[f"{name}mlp.fc1.weight"]
        window = (math.isqrt(places) + 1) // 2
        biased = f"{name}attn.qkv.bias" in shapes
        shifted = number % 2 == 1
        blocks.append(Block(width, window, heads, hidden, shifted=shifted, biased=biased))
    width = shapes["conv_first.weight"][0]
    return Group(blocks, _body_end(shapes, f"layers.{at}.conv", width))


def _body_end(shapes: Shapes, place: str, width: int) -> nn.Module:
    """Return one convolution, or three of which the middle ones are narrow."""
    if f"{place}.weight" in shapes:
        return _conv(width, width)
    narrow = shapes[f"{place}.0.weight"][0]
    return nn.Sequential(
        _conv(width, narrow),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(narrow, narrow, 1),
        nn.LeakyReLU(SLOPE),
        _conv(narrow, width),
    )


def _in_windows(pixels: Tensor, side: int) -> Tensor:
    """Return pictures whose sides are whole windows: mirrored at their ends."""
    rows, columns = (-length % side for length in pixels.shape[-2:])
    fits = rows < pixels.shape[-2] and columns < pixels.shape[-1]
    mode = "reflect" if fits else "replicate"
    return functional.pad(pixels, (0, columns, 0, rows), mode=mode)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _count(shapes: Shapes, start: str) -> int:
    return len({n.removeprefix(start).split(".")[0] for n in shapes if n.startswith(start)})
