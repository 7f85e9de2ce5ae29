"""Putting pictures [count, height, width, channels] beside, around and behind each other."""

from __future__ import annotations

import math
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.scaling import scale

GREY: Final = 0.5
Side = Literal["right", "down", "left", "up"]
COLOURS: Final = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}


def repeated_to(batch: Tensor, count: int) -> Tensor:
    """Return `count` of the batch: cut off, or begun again from its first."""
    times = math.ceil(count / batch.shape[0])
    return batch.repeat(times, *(1,) * (batch.ndim - 1))[:count]


def resized(pictures: Tensor, method: str, height: int, width: int, crop: str) -> Tensor:
    """Return pictures at another size, the channels last before and after."""
    return scale(pictures.movedim(-1, 1), method, (height, width), crop).movedim(1, -1)


def like_channels(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Give whichever has fewer channels opaque ones."""
    missing = one.shape[-1] - other.shape[-1]
    if missing > 0:
        other = functional.pad(other, (0, missing), value=1.0)
    elif missing < 0:
        one = functional.pad(one, (0, -missing), value=1.0)
    return one, other


def joined(first: Tensor, second: Tensor) -> Tensor:
    """Return both in one batch, the second brought to the size of the first."""
    first, second = like_channels(first, second)
    if first.shape[1:3] != second.shape[1:3]:
        second = resized(second, "bilinear", first.shape[1], first.shape[2], "center")
    return torch.cat((first, second))


def cropped(pictures: Tensor, x: int, y: int, width: int, height: int) -> Tensor:
    """Return a rectangle, which begins inside and ends where the picture does."""
    x, y = min(x, pictures.shape[2] - 1), min(y, pictures.shape[1] - 1)
    return pictures[:, y : y + height, x : x + width].clone()


def part(pictures: Tensor, first: int, length: int) -> Tensor:
    """Return some of a batch; there is always at least one."""
    first = min(pictures.shape[0] - 1, first)
    return pictures[first : first + length].clone()


def padded(
    pictures: Tensor, *, left: int, top: int, right: int, bottom: int, feathering: int
) -> tuple[Tensor, Tensor]:
    """Return pictures with grey around them, and the mask of what is new, soft inwards."""
    count, height, width, channels = pictures.shape
    size = (height + top + bottom, width + left + right)
    canvas = torch.full((count, *size, channels), GREY)
    canvas[:, top : top + height, left : left + width] = pictures
    mask = torch.ones(size)
    soft = torch.zeros(height, width)
    if feathering > 0 and feathering * 2 < min(height, width):
        rows = _to_edges(height, near=top != 0, far=bottom != 0)
        columns = _to_edges(width, near=left != 0, far=right != 0)
        # An edge without padding is as far away as the picture is long in that direction.
        distance = torch.minimum(rows[:, None], columns[None, :])
        soft = ((feathering - distance) / feathering).clamp(min=0) ** 2
    mask[top : top + height, left : left + width] = soft
    return canvas, mask[None]


def _to_edges(length: int, *, near: bool, far: bool) -> Tensor:
    places = torch.arange(length, dtype=torch.float32)
    distance = torch.full((length,), float(length))
    if near:
        distance = torch.minimum(distance, places)
    if far:
        distance = torch.minimum(distance, length - places)
    return distance


def stitched(
    first: Tensor, second: Tensor, *, side: Side, match_size: bool, spacing: int, colour: str
) -> Tensor:
    """Return both in one picture, the second on the given side of the first."""
    across = side in ("right", "left")
    count = max(first.shape[0], second.shape[0])
    first, second = _last_again(first, count), _last_again(second, count)
    if match_size:
        second = _matched(second, first, across=across)
    else:
        first, second = _centred(first, second, across=across, colour=colour)
    first, second = like_channels(first, second)
    pictures = [first, second] if side in ("right", "down") else [second, first]
    if spacing:
        pictures.insert(1, _bar(first, spacing + spacing % 2, across=across, colour=colour))
    return torch.cat(pictures, dim=2 if across else 1)


def _last_again(pictures: Tensor, count: int) -> Tensor:
    missing = count - pictures.shape[0]
    return torch.cat((pictures, pictures[-1:].repeat(missing, 1, 1, 1))) if missing else pictures


def _matched(pictures: Tensor, model: Tensor, *, across: bool) -> Tensor:
    height, width = pictures.shape[1:3]
    proportions = width / height
    if across:
        tall, wide = model.shape[1], int(model.shape[1] * proportions)
    else:
        tall, wide = int(model.shape[2] / proportions), model.shape[2]
    return resized(pictures, "lanczos", max(1, tall), max(1, wide), "disabled")


def _centred(first: Tensor, second: Tensor, *, across: bool, colour: str) -> tuple[Tensor, Tensor]:
    """Bring both to the longer of the sides that meet; only white shines in what is added."""
    dim = 1 if across else 2
    length = max(first.shape[dim], second.shape[dim])
    value = 1.0 if colour == "white" else 0.0

    def grown(pictures: Tensor) -> Tensor:
        missing = length - pictures.shape[dim]
        before, after = missing // 2, missing - missing // 2
        edges = (0, 0, 0, 0, before, after) if across else (0, 0, before, after)
        return functional.pad(pictures, edges, value=value)

    return grown(first), grown(second)


def _bar(model: Tensor, thickness: int, *, across: bool, colour: str) -> Tensor:
    count, height, width, channels = model.shape
    bar = torch.ones((count, *((height, thickness) if across else (thickness, width)), channels))
    bar[..., :3] = torch.tensor(COLOURS[colour])
    return bar


def channel(pictures: Tensor, name: str) -> Tensor:
    """Return one channel; raise Refused for the alpha of pictures that have none."""
    index = ("red", "green", "blue", "alpha").index(name)
    if index >= pictures.shape[-1]:
        raise Refused("the picture has no such channel", field="channel", received=name)
    return pictures[..., index].clone()
