"""One text encoder of a checkpoint: a CLIP text network, and the projection some have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel

from libs.text.chunks import Chunk, Token, chunks, empty_chunk
from libs.text.tokenizer import END, tokenizer


class TowerNetwork(nn.Module):
    """The text network with its projection, moved and measured as one."""

    def __init__(self, text: CLIPTextModel, projection: nn.Linear | None) -> None:
        super().__init__()
        self.text = text
        self.projection = projection

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.parameters()).device


@dataclass(frozen=True)
class TowerKind:
    """How a tower is read: its padding, its usual last layer, and the norm behind it.

    The summary of a text is projected where the tower has a projection, unless told otherwise.
    """

    pad: int = END
    layer: int = -1
    final_norm: bool = True
    projected: bool = True


@dataclass(frozen=True)
class Encoded:
    """A text: [1, tokens, width], and its summary [1, width] where there is one."""

    context: Tensor
    pooled: Tensor | None


@torch.inference_mode()
def encode(
    network: TowerNetwork, kind: TowerKind, text: str, layer: int | None, chunks_min: int = 1
) -> Encoded:
    """Encode a weighted text, all its chunks in one batch, `chunks_min` at the least.

    A weighted token is moved along the line from what the empty text has in its place.
    """
    pieces = chunks(text, tokenizer(), kind.pad)
    pieces += [empty_chunk(kind.pad)] * (chunks_min - len(pieces))
    weighted = any(token.weight != 1.0 for piece in pieces for token in piece)
    batch = [*pieces, empty_chunk(kind.pad)] if weighted else pieces
    ids = torch.tensor([[token.id for token in piece] for piece in batch])
    output = network.text(ids.to(network.device), output_hidden_states=True)
    states = output.hidden_states
    wanted = kind.layer if layer is None else layer
    if -wanted < len(states):
        context = _context(network, kind, states[wanted])
    else:
        # Asked to stop before its first layer, a tower does not stop early at all.
        context = output.last_hidden_state
    if weighted:
        context = weighed(context[:-1], context[-1:], pieces)
    pooled = _pooled(network, kind, output.last_hidden_state[:1], pieces[0])
    return Encoded(context.float().reshape(1, -1, context.shape[-1]).cpu(), pooled)


def _context(network: TowerNetwork, kind: TowerKind, state: Tensor) -> Tensor:
    if not kind.final_norm:
        return state
    normed: Tensor = network.text.final_layer_norm(state)
    return normed


def weighed(context: Tensor, empty: Tensor, pieces: Sequence[Sequence[Token]]) -> Tensor:
    """Move each token along the line from what the empty text has in its place."""
    weights = torch.tensor([[token.weight for token in piece] for piece in pieces])
    weight = weights[..., None].to(context.device)
    return torch.where(weight == 1, context, (context - empty) * weight + empty)


def _pooled(network: TowerNetwork, kind: TowerKind, last: Tensor, piece: Chunk) -> Tensor | None:
    """Return what stands at the first chunk's end mark, the first of its id."""
    end = [token.id for token in piece].index(END)
    state = last[:, end]
    if not kind.projected:
        return state.float().cpu()
    if network.projection is None:
        return None
    projected: Tensor = network.projection(state)
    return projected.float().cpu()
