"""CLIP: the text encoders of a checkpoint, as one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from libs.core.errors import Refused
from libs.diffusion.adapters.blend import blended
from libs.diffusion.residency import Resident
from libs.diffusion.text.tower import TowerKind, TowerNetwork, encode
from libs.sampling.conditioning import Conditioning, Entry


@dataclass(frozen=True)
class Tower:
    """A text encoder: how to read it, and where it is."""

    kind: TowerKind
    network: Resident[TowerNetwork]


@dataclass(frozen=True)
class Clip:
    """CLIP: one tower or two side by side; `layer` overrides where they stop."""

    towers: tuple[Tower, ...]
    layer: int | None = None

    def encode(self, text: str) -> Conditioning:
        """Encode a text, weights and all."""
        encoded = [
            encode(tower.network.get(), tower.kind, text, self.layer) for tower in self.towers
        ]
        pooled = next((one.pooled for one in reversed(encoded) if one.pooled is not None), None)
        context = torch.cat([one.context for one in encoded], -1)
        return Conditioning((Entry(context, pooled),))

    def blended(self, other: Clip, own: float, theirs: float) -> Clip:
        """Return it with its weights blended with another's of the same sizes."""
        if len(self.towers) != len(other.towers):
            raise Refused("only text encoders of the same kind can be blended")
        shares = {"": (own, theirs)}
        towers = tuple(
            replace(mine, network=blended(mine.network, its.network, shares))
            for mine, its in zip(self.towers, other.towers, strict=True)
        )
        return replace(self, towers=towers)

    def stopping_at(self, layer: int) -> Clip:
        """Return an encoder that stops `layer` (negative) from the end."""
        return replace(self, layer=layer)
