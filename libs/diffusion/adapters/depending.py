"""Changes that depend on the weight that they change: OFT, BOFT and GLoRA, as LyCORIS saves them.

Where ComfyUI reads such files in a way of its own it is followed: it turns by the transpose of an
OFT's blocks, and its strength counts twice, once in the blocks and once in what they change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.adapters.rows import Rows, taken

Parts: TypeAlias = Mapping[str, Tensor]
# Returns what is added to a weight at a strength; it has some rows of the published module.
Addition: TypeAlias = Callable[[Tensor, Parts, float, Rows | None], Tensor]

TINY: Final = 1e-8


def oft(weight: Tensor, parts: Parts, strength: float, rows: Rows | None) -> Tensor:
    """Orthogonal finetuning (Qiu et al. 2023): outputs are turned in blocks."""
    turns = _turns(parts["oft_blocks"], parts.get("alpha"))
    _, size, _ = turns.shape
    if rows is not None:
        if not isinstance(rows, slice) or rows.start % size or rows.stop % size:
            raise Refused("an OFT whose blocks lie across joined layers cannot be taken apart")
        turns = turns[rows.start // size : rows.stop // size]
    _require(len(turns) * size == len(weight), weight, parts["oft_blocks"])
    blocks = weight.reshape(len(turns), size, *weight.shape[1:])
    difference = turns - torch.eye(size, device=turns.device)
    added = torch.einsum("knm,kn...->km...", difference, blocks).reshape(weight.shape)
    return strength * strength * added


def boft(weight: Tensor, parts: Parts, strength: float, rows: Rows | None) -> Tensor:
    """Butterfly OFT (Liu et al. 2024): outputs are turned in blocks of ever wider strides."""
    if rows is not None:
        raise Refused("a BOFT of joined layers cannot be taken apart")
    blocks = parts["oft_blocks"]
    _, count, size, _ = blocks.shape
    _require(count * size == len(weight), weight, blocks)
    still = torch.eye(size, device=blocks.device)
    turned, inputs = weight, weight.shape[1:]
    for level, turns in enumerate(_turns(blocks, parts.get("alpha"))):
        stride = 2**level * (size // 2)
        some = turns * strength + (1 - strength) * still
        apart = turned.reshape(-1, 2, stride, *inputs).transpose(1, 2).reshape(-1, size, *inputs)
        moved = torch.einsum("bij,bj...->bi...", some, apart)
        turned = moved.reshape(-1, stride, 2, *inputs).transpose(1, 2).reshape(-1, *inputs)
    if "rescale" in parts:
        turned = turned * parts["rescale"].reshape(-1, *[1] * (weight.ndim - 1))
    return strength * (turned - weight)


def glora(weight: Tensor, parts: Parts, strength: float, rows: Rows | None) -> Tensor:
    """Generalised LoRA (Chavan et al. 2023): a product is added, and another turns the inputs.

    LyCORIS once had the factors the other way round; such files are told by their shapes.
    """
    a1, a2, b1, b2 = (parts[name].flatten(1) for name in ("a1", "a2", "b1", "b2"))
    old = b2.shape[1] == b1.shape[0] == a1.shape[0] == a2.shape[1]
    new = b2.shape[0] == b1.shape[1] == a1.shape[1] == a2.shape[0]
    square = a2.shape[0] == len(weight) == weight.shape[1]
    if new and not (old and square):
        # Of a convolution the channels alone are turned, here; in old files all that comes in.
        rank, turning, (outer, inner) = a2.shape[0], (a1, a2), (b1, b2)
        inputs = weight.movedim(1, -1)
    else:
        rank, turning, (outer, inner) = a1.shape[0], (a2, a1), (b2, b1)
        inputs = weight.flatten(1)
    outer = taken(outer, rows)
    _require(len(outer) == len(weight) and len(turning[0]) == inputs.shape[-1], weight, outer)
    product = (outer @ inner).reshape(weight.shape)
    turned = (inputs @ turning[0] @ turning[1]).movedim(-1, 1).reshape(weight.shape)
    alpha = parts.get("alpha")
    scale = 1.0 if alpha is None else float(alpha) / rank
    return strength * scale * (product + turned)


def _turns(blocks: Tensor, bound: Tensor | None) -> Tensor:
    """Return the turn of each block: Cayley's transform of what is skew in it.

    `bound` is how far all of them together may turn; 0 is no bound.
    """
    skew = blocks - blocks.transpose(-1, -2)
    most = 0.0 if bound is None else float(bound)
    length = float(torch.linalg.vector_norm(skew)) + TINY
    if 0 < most < length:
        skew = skew * (most / length)
    still = torch.eye(skew.shape[-1], device=skew.device)
    turns: Tensor = (still + skew) @ torch.linalg.inv(still - skew)
    return turns


def _require(fits: bool, weight: Tensor, part: Tensor) -> None:
    if not fits:
        raise Refused(
            "the adapter was made for a network of other sizes",
            weight=list(weight.shape),
            change=list(part.shape),
        )


def _turned(weight: Tensor, parts: Parts, strength: float, rows: Rows | None) -> Tensor:
    turn = boft if parts["oft_blocks"].ndim > 3 else oft
    return turn(weight, parts, strength, rows)


# By a part that only such a change has.
ADDITIONS: Final[Mapping[str, Addition]] = {"oft_blocks": _turned, "a1": glora}
