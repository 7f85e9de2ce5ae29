"""How a weighted text goes through a T5 encoder: whole, however long it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from libs.diffusion.text.t5_network import T5Network
from libs.diffusion.text.tower import Encoded, weighed
from libs.text.chunks import Token
from libs.text.segments import segments


@dataclass(frozen=True)
class T5Kind:
    """How long a text becomes: filled up to `tokens_min`, cut at `tokens_max` if there is one."""

    tokens_min: int = 77
    tokens_max: int | None = None


@torch.inference_mode()
def encode_t5(network: T5Network, kind: T5Kind, text: str | None) -> Encoded:
    """Encode a weighted text; None is no text at all, which is not the empty one.

    A weighted token is moved along the line from what the empty text has in its place.
    """
    tokens = [Token(network.tokenizer.end)] if text is None else _tokens(network, kind, text)
    weighted = any(token.weight != 1.0 for token in tokens)
    rows = [[token.id for token in tokens]]
    if weighted:
        empty = [network.tokenizer.end] + [network.tokenizer.pad] * (len(tokens) - 1)
        rows.append(empty)
    context = network(torch.tensor(rows, device=network.device))
    if weighted:
        context = weighed(context[:1], context[1:], [tokens])
    return Encoded(context.cpu(), None)


def _tokens(network: T5Network, kind: T5Kind, text: str) -> list[Token]:
    tokenize = network.tokenizer
    tokens = [
        Token(number, segment.weight)
        for segment in segments(text)
        for number in tokenize(segment.text)
    ]
    if kind.tokens_max is not None:
        tokens = tokens[: kind.tokens_max - 1]
    tokens.append(Token(tokenize.end))
    return tokens + [Token(tokenize.pad)] * (kind.tokens_min - len(tokens))
