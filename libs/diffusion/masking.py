"""Changing masks [count, height, width]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from libs.core.errors import Refused


def _on(values: Tensor) -> Tensor:
    return values.round().bool()


OPERATIONS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "multiply": lambda below, above: below * above,
    "add": lambda below, above: below + above,
    "subtract": lambda below, above: below - above,
    "and": lambda below, above: (_on(below) & _on(above)).float(),
    "or": lambda below, above: (_on(below) | _on(above)).float(),
    "xor": lambda below, above: (_on(below) ^ _on(above)).float(),
}


def cropped(masks: Tensor, x: int, y: int, width: int, height: int) -> Tensor:
    """Return a rectangle, which ends where the mask does."""
    if x >= masks.shape[-1] or y >= masks.shape[-2]:
        raise Refused("the rectangle lies outside the mask", x=x, y=y)
    return masks[:, y : y + height, x : x + width].clone()


def combined(below: Tensor, above: Tensor, x: int, y: int, operation: str) -> Tensor:
    """Return `below` with `above` worked into it at x and y."""
    if above.shape[0] not in (1, below.shape[0]):
        raise Refused(
            "the masks differ in number", destination=below.shape[0], source=above.shape[0]
        )
    output = below.clone()
    place = output[:, y : y + above.shape[-2], x : x + above.shape[-1]]
    seen = above[:, : place.shape[-2], : place.shape[-1]]
    place.copy_(OPERATIONS[operation](place, seen))
    return output.clamp(0, 1)


def feathered(masks: Tensor, *, left: int, top: int, right: int, bottom: int) -> Tensor:
    """Return masks that fade out towards their edges, over so many pixels each.

    ComfyUI counts from the far edges with negative numbers, so that its first step back, which is
    minus zero, meets the near edge; pictures are made with that, so it stays.
    """
    output = masks.clone()
    height, width = masks.shape[-2:]
    for length, amount, side in (
        (width, left, 2),
        (width, right, -2),
        (height, top, 1),
        (height, bottom, -1),
    ):
        steps = min(amount, length)
        for step in range(steps):
            index = step if side > 0 else -step % length
            output.select(abs(side), index).mul_((step + 1.0) / steps)
    return output


def grown(masks: Tensor, pixels: int, *, tapered: bool) -> Tensor:
    """Return masks spread by so many pixels, or shrunk by a negative number of them.

    Tapered, each step reaches the four neighbours and not the diagonal ones.
    """
    sign = 1.0 if pixels >= 0 else -1.0
    output = sign * masks[:, None]
    # After as many steps as the mask is long, nothing changes any more.
    for _ in range(min(abs(pixels), sum(masks.shape[-2:]))):
        if tapered:
            output = torch.maximum(
                functional.max_pool2d(output, (3, 1), 1, (1, 0)),
                functional.max_pool2d(output, (1, 3), 1, (0, 1)),
            )
        else:
            output = functional.max_pool2d(output, 3, 1, 1)
    return sign * output[:, 0]
