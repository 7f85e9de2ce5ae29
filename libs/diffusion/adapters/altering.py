"""Networks whose weights are changed: made when first used, from what is in memory or the file.

All changes to a weight are summed in float32 and rounded once, to the format that the weight is
kept in. What is not changed is shared with the unchanged network where that is loaded.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

from libs.diffusion.packed.amended import Factors, amended
from libs.diffusion.packed.narrow import Int8Rows, SmallFloats, int8_rows, small_floats
from libs.diffusion.packed.tensor import PackedTensor
from libs.diffusion.residency import Resident

M = TypeVar("M", bound=nn.Module)
M_co = TypeVar("M_co", bound=nn.Module, covariant=True)
# Makes the new weight of the old, both float32.
Step: TypeAlias = Callable[[Tensor], Tensor]


@runtime_checkable
class Product(Protocol):
    """A step that may add a product of two small factors, and nothing else."""

    def factors(self) -> Factors | None:
        """Return the factors, None if it does something else."""


class Alteration(Protocol):
    """A change to some weights of a network."""

    @property
    def key(self) -> Hashable:
        """What tells it from others: equal keys change equally."""

    def steps(self) -> Mapping[str, Sequence[Step]]:
        """Return, by the parameter's name, what is done to each that it changes."""


@dataclass(frozen=True)
class Altered(Resident[M_co]):
    """A network made of another one: `base` with the alterations, one after the other."""

    base: Resident[M_co] | None = None
    alterations: tuple[Alteration, ...] = ()


def altered(
    network: Resident[M], alteration: Alteration, stored: torch.dtype | None = None
) -> Resident[M]:
    """Return the network with one more alteration; `stored` is what weights are rounded to."""
    base: Resident[M] = network
    earlier: tuple[Alteration, ...] = ()
    if isinstance(network, Altered) and network.base is not None:
        base, earlier = network.base, network.alterations
    alterations = (*earlier, alteration)

    def load() -> M:
        loaded = base.cache.find(base.key)
        made = base.load() if loaded is None else cast("M", _sharing(loaded))
        alter(made, alterations, stored)
        return made

    key = _key(base.key, tuple(alteration.key for alteration in alterations))
    return Altered(base.cache, key, load, base.device, base.outline, base, alterations)


def alter(
    network: nn.Module, alterations: Sequence[Alteration], stored: torch.dtype | None
) -> None:
    """Give the network new weights where the alterations change them."""
    steps: dict[str, list[Step]] = defaultdict(list)
    for alteration in alterations:
        for name, some in alteration.steps().items():
            steps[name] += some
    for name, some in steps.items():
        module_name, _, leaf = name.rpartition(".")
        module = network.get_submodule(module_name)
        weight = _altered_weight(getattr(module, leaf), some, stored)
        module.register_parameter(leaf, nn.Parameter(weight, requires_grad=False))


def _altered_weight(old: Tensor, steps: Sequence[Step], stored: torch.dtype | None) -> Tensor:
    if isinstance(old, PackedTensor) and not isinstance(old.codec, SmallFloats | Int8Rows):
        products = [found for step in steps if (found := _product(step)) is not None]
        if len(products) == len(steps):
            return amended(old, products)
    weight = unpacked(old)
    for step in steps:
        weight = step(weight)
    return kept_as(old, weight.to(stored or old.dtype).to(old.dtype))


def _product(step: Step) -> Factors | None:
    return step.factors() if isinstance(step, Product) else None


def unpacked(weight: Tensor) -> Tensor:
    """Return a weight as float32, one that is kept packed as well."""
    if isinstance(weight, PackedTensor):
        return weight.dequantised(torch.float32)
    return weight.float()


def kept_as(old: Tensor, weight: Tensor) -> Tensor:
    """Return a new weight kept as the old one was, where that can be made of numbers.

    The blocks of GGUF files cannot: they carry products beside them, and are unpacked for the
    other changes.
    """
    if not isinstance(old, PackedTensor):
        return weight
    if isinstance(old.codec, SmallFloats):
        return small_floats(weight, old.codec, old.dtype)
    return int8_rows(weight, old.dtype) if isinstance(old.codec, Int8Rows) else weight


def _sharing(network: nn.Module) -> nn.Module:
    """Return the same network again, over the same tensors."""
    tensors = chain(network.parameters(), network.buffers())
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})


def _key(base: Hashable, alterations: tuple[Hashable, ...]) -> Hashable:
    """Return the base's key with the alterations before its part and device, which stay last."""
    if isinstance(base, tuple) and len(base) > 1:
        return (*base[:-2], alterations, *base[-2:])
    return base, alterations
