"""CLIP: the text encoders of a model, as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from libs.core.errors import Refused
from libs.diffusion.adapters.blend import blended
from libs.diffusion.residency import Resident
from libs.diffusion.text.reading import Join, side_by_side
from libs.diffusion.text.t5 import T5Kind, encode_t5
from libs.diffusion.text.t5_network import T5Network
from libs.diffusion.text.tower import Encoded, TowerKind, TowerNetwork, encode
from libs.sampling.conditioning import Conditioning
from libs.text.chunks import chunks
from libs.text.tokenizer import tokenizer


@dataclass(frozen=True)
class Tower:
    """A CLIP text encoder: how to read it, where it is, and its name among others."""

    kind: TowerKind
    network: Resident[TowerNetwork]
    name: str = "l"

    def encode(self, text: str, layer: int | None, chunks_min: int) -> Encoded:
        """Encode a text into as many chunks as it needs, `chunks_min` at the least."""
        return encode(self.network.get(), self.kind, text, layer, chunks_min)


@dataclass(frozen=True)
class T5Tower:
    """A T5 text encoder."""

    kind: T5Kind
    network: Resident[T5Network]
    name: str = "t5xxl"

    def encode(self, text: str | None) -> Encoded:
        """Encode a text; None is no text at all."""
        return encode_t5(self.network.get(), self.kind, text)


@dataclass(frozen=True)
class Clip:
    """CLIP: text encoders that are joined into one; `layer` overrides where CLIP towers stop."""

    towers: tuple[Tower | T5Tower, ...]
    layer: int | None = None
    join: Join = side_by_side

    def encode(self, text: str) -> Conditioning:
        """Encode a text, weights and all."""
        return self.encode_apart({tower.name: text for tower in self.towers})

    def encode_apart(self, texts: Mapping[str, str | None]) -> Conditioning:
        """Encode a text of its own for each encoder, by name; None is no text at all.

        CLIP encoders are given as many chunks as the longest of their texts has.
        """
        self._require(texts)
        towers = [tower for tower in self.towers if isinstance(tower, Tower)]
        given = {tower.name: texts.get(tower.name) for tower in towers}
        pieces = max((_chunks(text) for text in given.values() if text is not None), default=0)
        encoded: dict[str, Encoded] = {}
        for tower in self.towers:
            if isinstance(tower, T5Tower):
                encoded[tower.name] = tower.encode(texts.get(tower.name))
            elif pieces:
                encoded[tower.name] = tower.encode(given[tower.name] or "", self.layer, pieces)
        return Conditioning((self.join(encoded),))

    def stopping_at(self, layer: int) -> Clip:
        """Return an encoder that stops `layer` (negative) from the end."""
        return replace(self, layer=layer)

    def blended(self, other: Clip, own: float, theirs: float) -> Clip:
        """Return it with its weights blended with another's of the same sizes."""
        names = [tower.name for tower in self.towers]
        if names != [tower.name for tower in other.towers]:
            raise Refused("only text encoders of the same kind can be blended")
        shares = {"": (own, theirs)}
        towers = tuple(
            _blended(mine, its, shares) for mine, its in zip(self.towers, other.towers, strict=True)
        )
        return replace(self, towers=towers)

    def _require(self, texts: Mapping[str, str | None]) -> None:
        """Raise Refused if none of the texts is for an encoder that is here."""
        names = [tower.name for tower in self.towers]
        if not names:
            raise Refused("the checkpoint holds no text encoder; load one from a file of its own")
        if not set(names) & set(texts):
            raise Refused(
                "this text encoder is of another kind of model", encoders=names, wanted=list(texts)
            )


def _chunks(text: str) -> int:
    return len(chunks(text, tokenizer(), 0))


def _blended(
    tower: Tower | T5Tower, other: Tower | T5Tower, shares: Mapping[str, tuple[float, float]]
) -> Tower | T5Tower:
    if isinstance(tower, Tower) and isinstance(other, Tower):
        return replace(tower, network=blended(tower.network, other.network, shares))
    if isinstance(tower, T5Tower) and isinstance(other, T5Tower):
        return replace(tower, network=blended(tower.network, other.network, shares))
    raise Refused("only text encoders of the same kind can be blended", encoder=tower.name)
