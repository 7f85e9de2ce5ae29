"""What an adapter adds to one weight: the algebra of LoRA, LoHa, LoKr, DoRA and plain differences.

Those that depend on the weight itself are in `depending`.

Everything is float32. The parts of a change go by the names that kohya's files have for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.adapters.depending import ADDITIONS
from libs.diffusion.adapters.rows import Rows, taken

Parts: TypeAlias = Mapping[str, Tensor]
BIAS: Final = "diff_b"
MAGNITUDES: Final = ("dora_scale", "magnitude")
# Takes the place of the weight, whatever the strength.
WHOLE: Final = "set"


def changed(weight: Tensor, parts: Parts, strength: float, rows: Rows | None = None) -> Tensor:
    """Return a weight with a change at a strength; it gets the `rows` of a change to several."""
    if WHOLE in parts:
        return taken(parts[WHOLE], rows).reshape(weight.shape)
    name = next((name for name in MAGNITUDES if name in parts), None)
    depending = next((add for mark, add in ADDITIONS.items() if mark in parts), None)
    if depending is not None:
        if name is not None:
            raise Refused("a DoRA of OFT, BOFT or GLoRA is not supported")
        return weight + depending(weight, parts, strength, rows)
    values, scale = _difference(parts)
    whole = values.shape[0]
    values = taken(values, rows)
    if values.numel() != weight.numel():
        raise Refused(
            "the adapter was made for a network of other sizes",
            weight=list(weight.shape),
            change=list(values.shape),
        )
    values = values.reshape(weight.shape)
    if name is None:
        return weight + (strength * scale) * values
    magnitude = parts[name]
    if rows is not None:
        if magnitude.shape[0] != whole:
            raise Refused("a DoRA of the input side of joined layers cannot be taken apart")
        magnitude = taken(magnitude, rows)
    turned = _decomposed(weight, scale * values, magnitude, of_sum=name == "magnitude")
    return weight + strength * (turned - weight)


def factors(
    parts: Parts, strength: float, rows: Rows | None = None
) -> tuple[Tensor, Tensor] | None:
    """Return two factors of what a LoRA adds; None for changes that are no plain product."""
    if "lora_up" not in parts or "lora_mid" in parts or any(name in parts for name in MAGNITUDES):
        return None
    up, down = parts["lora_up"].flatten(1), parts["lora_down"].flatten(1)
    alpha = parts.get("alpha")
    scale = 1.0 if alpha is None else float(alpha) / down.shape[0]
    return strength * scale * taken(up, rows), down


def biased(bias: Tensor, parts: Parts, strength: float, rows: Rows | None = None) -> Tensor:
    """Return a bias with a change at a strength."""
    values = taken(parts[BIAS], rows)
    return bias + strength * values.reshape(bias.shape)


def _decomposed(weight: Tensor, added: Tensor, magnitude: Tensor, *, of_sum: bool) -> Tensor:
    """Return the sum in its own direction at a learned length (Liu et al. 2024).

    Along outputs the length that is divided by is the unchanged weight's, as in ComfyUI; PEFT
    divides by that of the sum.
    """
    total = weight + added
    if magnitude.ndim == 1:
        magnitude = magnitude.reshape(-1, *[1] * (weight.ndim - 1))
    outputs = magnitude.shape[0] == weight.shape[0]
    measured = total if of_sum or not outputs else weight
    kept = 0 if outputs else 1
    others = [side for side in range(weight.ndim) if side != kept]
    length = torch.linalg.vector_norm(measured, dim=others, keepdim=True)
    turned: Tensor = total * (magnitude / (length + torch.finfo(torch.float32).eps))
    return turned


def _difference(parts: Parts) -> tuple[Tensor, float]:
    """Return what is added [outputs, inputs ...], and the scale that it was trained at."""
    for mark, make in _KINDS.items():
        if mark in parts:
            values, rank = make(parts)
            alpha = parts.get("alpha")
            return values, float(alpha) / rank if alpha is not None and rank else 1.0
    raise Refused("the adapter changes a weight in no way that is known here", parts=sorted(parts))


def _low_rank(parts: Parts) -> tuple[Tensor, int]:
    """LoRA (Hu et al. 2021); with a core in the middle it is LoCon's convolution."""
    up, down = parts["lora_up"], parts["lora_down"]
    core = parts.get("lora_mid")
    if core is None:
        values = up.flatten(1) @ down.flatten(1)
        values = values.reshape(up.shape[0], *down.shape[1:])
    else:
        values = torch.einsum("ab...,oa,bi->oi...", core, up.flatten(1), down.flatten(1))
    return values, down.shape[0]


def _hadamard(parts: Parts) -> tuple[Tensor, int]:
    """LoHa (Hyeon-Woo et al. 2022): a product, place by place, of two of low rank."""
    first, second = (_factor(parts, f"hada_w{n}_a", f"hada_w{n}_b", f"hada_t{n}") for n in (1, 2))
    return first * second, parts["hada_w1_b"].shape[0]


def _kronecker(parts: Parts) -> tuple[Tensor, int]:
    """LoKr: each number of the first times the whole second, either of them of low rank or not."""
    rank = 0
    factors = []
    for name in ("lokr_w1", "lokr_w2"):
        if name in parts:
            factors.append(parts[name])
            continue
        rank = parts[f"{name}_b"].shape[0]
        factors.append(_factor(parts, f"{name}_a", f"{name}_b", "lokr_t2"))
    first, second = factors
    first = first.reshape(*first.shape, *[1] * (second.ndim - first.ndim))
    return torch.kron(first, second.contiguous()), rank


def _factor(parts: Parts, left: str, right: str, core: str) -> Tensor:
    """Return a factor of low rank; with a core it is a convolution's (Tucker)."""
    a, b = parts[left], parts[right]
    if core in parts and not left.startswith("lokr_w1"):
        return torch.einsum("ij...,jr,ip->pr...", parts[core], b, a)
    return a @ b.flatten(1) if b.ndim == 2 else (a @ b.flatten(1)).reshape(a.shape[0], *b.shape[1:])


def _plain(parts: Parts) -> tuple[Tensor, int]:
    return parts["diff"], 0


_KINDS: Final[Mapping[str, Callable[[Parts], tuple[Tensor, int]]]] = {
    "lora_up": _low_rank,
    "hada_w1_a": _hadamard,
    "lokr_w1": _kronecker,
    "lokr_w1_a": _kronecker,
    "diff": _plain,
}
