"""CLIP on ONNX Runtime: the text encoders of an exported model, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from libs.portable.bundle import Tower
from libs.portable.session import Sessions
from libs.sampling.conditioning import Conditioning, Entry
from libs.text.chunks import Chunk, chunks, empty_chunk
from libs.text.tokenizer import END, tokenizer

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """CLIP: one tower or two side by side; `layer` overrides where they stop."""

    towers: tuple[Tower, ...]
    folder: Path
    sessions: Sessions
    layer: int | None = None

    def encode(self, text: str) -> Conditioning:
        """Encode a text, weights and all."""
        encoded = [self._encoded(tower, text) for tower in self.towers]
        pooled = next((one for _, one in reversed(encoded) if one is not None), None)
        context = np.concatenate([context for context, _ in encoded], axis=-1)
        return Conditioning((Entry(context, pooled),))

    def stopping_at(self, layer: int) -> Clip:
        """Return an encoder that stops `layer` (negative) from the end."""
        return replace(self, layer=layer)

    def _encoded(self, tower: Tower, text: str) -> tuple[Floats, Floats | None]:
        """Encode all chunks in one batch.

        A weighted token is moved along the line from what the empty text has in its place.
        """
        pieces = chunks(text, tokenizer(), tower.pad)
        weighted = any(token.weight != 1.0 for piece in pieces for token in piece)
        batch = [*pieces, empty_chunk(tower.pad)] if weighted else pieces
        ids = np.array([[token.id for token in piece] for piece in batch], np.int64)
        states, normed, last, *projected = self.sessions.run(
            self.folder / tower.network, {"ids": ids}
        )
        wanted = tower.layer if self.layer is None else self.layer
        if -wanted < len(states):
            context = (normed if tower.final_norm else states)[wanted]
        else:
            # Asked to stop before its first layer, a tower does not stop early at all.
            context = last
        if weighted:
            context = _weighed(context[:-1], context[-1:], pieces)
        pooled = projected[0][:1, _end_of(pieces[0])] if projected else None
        return context.reshape(1, -1, context.shape[-1]), pooled


def _weighed(context: Floats, empty: Floats, pieces: Sequence[Chunk]) -> Floats:
    weights = np.array([[token.weight for token in piece] for piece in pieces], np.float32)
    weight = weights[..., None]
    moved = (context - empty) * weight + empty
    return np.where(weight == 1, context, moved).astype(np.float32)


def _end_of(piece: Chunk) -> int:
    return [token.id for token in piece].index(END)
