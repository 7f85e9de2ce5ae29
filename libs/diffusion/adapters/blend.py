"""A network blended with another of the same sizes, weight by weight."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, TypeVar

from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.adapters.altering import Step, altered, unpacked
from libs.diffusion.loader.unet_names import single_file_names
from libs.diffusion.residency import Resident

M = TypeVar("M", bound=nn.Module)
NAMES_SHOWN: Final = 4
# How much of the own weight, and how much of the other.
Shares: TypeAlias = tuple[float, float]
# By how the names of modules in single files begin; the longest beginning counts.
SharesByBlock: TypeAlias = Mapping[str, Shares]


@dataclass(frozen=True)
class Blend:
    """The weights of another network, and how much of both there is to be."""

    other: Resident[nn.Module]
    shares: tuple[tuple[str, Shares], ...]

    @property
    def key(self) -> Hashable:
        return self.other.key, self.shares

    def steps(self) -> Mapping[str, Sequence[Step]]:
        """Load the other network, and return a blend for each of its weights."""
        weights = dict(self.other.get().named_parameters())
        published = single_file_names({name.rpartition(".")[0] for name in weights})
        return {
            name: [partial(_blended, other=weight, shares=self._shares(name, published))]
            for name, weight in weights.items()
        }

    def _shares(self, name: str, published: Mapping[str, str]) -> Shares:
        module = name.rpartition(".")[0]
        place = published.get(module, module)
        fitting = [(len(start), shares) for start, shares in self.shares if place.startswith(start)]
        return max(fitting, key=lambda pair: pair[0])[1]


@dataclass(frozen=True)
class Sum:
    """The weights of another network, added to those of the same name."""

    other: Resident[nn.Module]
    names: frozenset[str]

    @property
    def key(self) -> Hashable:
        return "sum", self.other.key

    def steps(self) -> Mapping[str, Sequence[Step]]:
        """Load the other network, and return what adds each of its weights."""
        weights = self.other.get().named_parameters()
        return {
            name: [partial(_blended, other=weight, shares=(1.0, 1.0))]
            for name, weight in weights
            if name in self.names
        }


def completed(network: Resident[M], other: Resident[nn.Module]) -> Resident[M]:
    """Return a network that is stored as its difference to another, made whole."""
    names = frozenset(name for name, _ in network.outline().named_parameters())
    return altered(network, Sum(other, names))


def blended(network: Resident[M], other: Resident[M], shares: SharesByBlock) -> Resident[M]:
    """Return the blend; raise Refused if the networks are not of the same sizes."""
    first, second = (
        {name: tuple(weight.shape) for name, weight in one.outline().named_parameters()}
        for one in (network, other)
    )
    if first != second:
        names = first.keys() | second.keys()
        different = sorted(name for name in names if first.get(name) != second.get(name))
        raise Refused(
            "only models of the same kind and sizes can be blended",
            different=different[:NAMES_SHOWN],
            count=len(different),
        )
    return altered(network, Blend(other, tuple(sorted(shares.items()))))


def _blended(weight: Tensor, *, other: Tensor, shares: Shares) -> Tensor:
    own, theirs = shares
    return own * weight + theirs * unpacked(other).to(weight.device)
