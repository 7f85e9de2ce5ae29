"""UPSCALE_MODEL: networks that make pictures larger: SRVGGNetCompact, RRDBNet, SPAN and SwinIR."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion import feathering
from libs.diffusion.loader.build import build
from libs.diffusion.placement import Placement
from libs.diffusion.residency import Resident
from libs.diffusion.rrdb import RrdbNetwork, build_rrdb, is_rrdb
from libs.diffusion.span import SpanNetwork, build_span, is_span
from libs.diffusion.swin_ir import SwinNetwork, build_swin, is_swin
from libs.diffusion.values import Picture

CHANNELS = 3
TILE_PIXELS = 512
# What training scripts put before all names.
PREFIXES: Final = ("params_ema.", "params.")


class OnStep(Protocol):
    """Hears of each tile."""

    def __call__(self, value: int, total: int, preview: Callable[..., bytes] | None = None) -> None:
        """Report that `value` of `total` tiles are done."""


class CompactNetwork(nn.Module):
    """Convolutions with learned slopes, then pixels shuffled out of channels.

    What it computes is added to the picture enlarged by repeating its pixels.
    """

    def __init__(self, width: int, convolutions: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        layers: list[nn.Module] = []
        for number in range(convolutions - 1):
            layers += [nn.Conv2d(width if number else CHANNELS, width, 3, padding=1)]
            layers += [nn.PReLU(width)]
        layers += [nn.Conv2d(width, CHANNELS * factor**2, 3, padding=1)]
        self.body = nn.ModuleList(layers)

    @property
    def reach(self) -> int:
        """How many pixels away an input pixel can still be felt."""
        return sum(isinstance(layer, nn.Conv2d) for layer in self.body)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return [count, 3, height, width] times the factor."""
        hidden = pixels
        for layer in self.body:
            hidden = layer(hidden)
        larger = functional.interpolate(pixels, scale_factor=float(self.factor), mode="nearest")
        return functional.pixel_shuffle(hidden, self.factor) + larger


Upscaler: TypeAlias = CompactNetwork | RrdbNetwork | SpanNetwork | SwinNetwork


@dataclass(frozen=True)
class UpscaleModel:
    """UPSCALE_MODEL: a network with a factor of its own."""

    network: Resident[Upscaler]
    placement: Placement

    @torch.inference_mode()
    def upscale(self, image: Picture, on_step: OnStep) -> Picture:
        """Return the pictures at the network's own factor."""
        network = self.network.get()
        pixels = image.pixels[..., :CHANNELS].movedim(-1, 1)
        larger = pixels.new_empty(
            image.count, CHANNELS, image.height * network.factor, image.width * network.factor
        )
        done = 0
        total = image.count * self._tiles(image, network.reach)

        def draw(given: Tensor) -> Tensor:
            nonlocal done
            drawn: Tensor = network(given.to(self.placement.device, torch.float32)).cpu()
            done += 1
            on_step(done, total)
            return drawn

        for number in range(image.count):
            picture = pixels[number : number + 1]
            if network.reach is None:
                larger[number] = feathering.feathered(
                    picture, draw, tile=TILE_PIXELS, factor=network.factor
                )[0]
                continue
            for tile in tiles_of(image.height, image.width, network.reach):
                drawn = draw(picture[:, :, tile.seen_rows, tile.seen_columns])
                tile.paste(drawn[0], larger[number], network.factor)
        return Picture(larger.clamp(0, 1).movedim(1, -1))

    @staticmethod
    def _tiles(image: Picture, reach: int | None) -> int:
        if reach is None:
            return len(list(feathering.tiles(image.height, image.width, TILE_PIXELS)))
        return len(list(tiles_of(image.height, image.width, reach)))


@dataclass(frozen=True)
class Tile:
    """A part of the picture, and the wider part that the network must see to draw it."""

    rows: slice
    columns: slice
    seen_rows: slice
    seen_columns: slice

    def paste(self, drawn: Tensor, onto: Tensor, factor: int) -> None:
        """Put what was drawn of the wider part in its place, without the surroundings."""
        top = (self.rows.start - self.seen_rows.start) * factor
        left = (self.columns.start - self.seen_columns.start) * factor
        place = onto[:, _times(self.rows, factor), _times(self.columns, factor)]
        place.copy_(drawn[:, top : top + place.shape[1], left : left + place.shape[2]])


def tiles_of(height: int, width: int, reach: int) -> Iterator[Tile]:
    """Cut a picture into tiles that each see as far as the network does.

    The result is the same as without tiles: only the memory it takes is bounded.
    """
    for top in range(0, height, TILE_PIXELS):
        for left in range(0, width, TILE_PIXELS):
            rows = slice(top, min(top + TILE_PIXELS, height))
            columns = slice(left, min(left + TILE_PIXELS, width))
            yield Tile(rows, columns, _wider(rows, reach, height), _wider(columns, reach, width))


def build_upscaler(tensors: Mapping[str, Tensor]) -> Upscaler:
    """Build whichever network the tensors are of; raise Refused if it is none that is known."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    if is_span(tensors):
        return build_span(tensors)
    if is_swin(tensors):
        return build_swin(tensors)
    return build_rrdb(tensors) if is_rrdb(tensors) else build_compact(tensors)


def build_compact(tensors: Mapping[str, Tensor]) -> CompactNetwork:
    """Build the network from its tensors; raise Refused if they are of another kind."""
    convolutions = [name for name, tensor in tensors.items() if tensor.ndim == 4]
    if "body.0.weight" not in tensors or not all(name.startswith("body.") for name in tensors):
        raise Refused(
            "only upscalers of ESRGAN's kind (RRDBNet, SRVGGNetCompact), SPAN and SwinIR can be read",
            tensors=len(tensors),
        )
    last = max(convolutions, key=lambda name: int(name.split(".")[1]))
    factor = math.isqrt(tensors[last].shape[0] // CHANNELS)
    width = tensors["body.0.weight"].shape[0]
    return build(lambda: CompactNetwork(width, len(convolutions), factor), tensors)


def _wider(span: slice, reach: int, length: int) -> slice:
    return slice(max(0, span.start - reach), min(length, span.stop + reach))


def _times(span: slice, factor: int) -> slice:
    return slice(span.start * factor, span.stop * factor)
