"""The network of T5 1.1 encoders.

Weights stay in the number format that they were read in, and are widened where they are used, so
that the arithmetic is float32 throughout: in half precision this network overflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.text.t5_tokenizer import T5Tokenizer

EPSILON: Final = 1e-6
BUCKETS: Final = 32
DISTANCE_MAX: Final = 128


@dataclass(frozen=True)
class T5Shape:
    """The sizes of one encoder."""

    vocabulary: int
    width: int
    heads: int
    inner: int
    hidden: int
    layers: int


class WideLinear(nn.Linear):
    """A layer without offset that computes as wide as what it is given."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  The name is torch's.
        """Return the product with the widened weights."""
        return functional.linear(input, self.weight.to(input.dtype))


class RootNorm(nn.Module):
    """Division by the root of the mean square."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, states: Tensor) -> Tensor:
        """Return the normed states."""
        scale = torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + EPSILON)
        return states * scale * self.weight.to(states.dtype)


class SelfAttention(nn.Module):
    """Attention over all tokens; the first layer's knows how distances count."""

    def __init__(self, shape: T5Shape, *, counts_distance: bool) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q = WideLinear(shape.width, shape.inner)
        self.k = WideLinear(shape.width, shape.inner)
        self.v = WideLinear(shape.width, shape.inner)
        self.o = WideLinear(shape.inner, shape.width)
        if counts_distance:
            self.relative_attention_bias = nn.Embedding(BUCKETS, shape.heads)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Return what each token draws from the others."""
        q, k, v = (self._split(layer(states)) for layer in (self.q, self.k, self.v))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        joined: Tensor = self.o(mixed.transpose(1, 2).flatten(2))
        return joined

    def bias(self, tokens: int) -> Tensor:
        """Return [1, heads, tokens, tokens]: how much each distance counts."""
        table = self.relative_attention_bias.weight
        at = torch.arange(tokens, device=table.device)
        wide = functional.embedding(_bucket(at[None] - at[:, None]), table).float()
        return wide.permute(2, 0, 1)[None]

    def _split(self, states: Tensor) -> Tensor:
        count, tokens, _ = states.shape
        return states.reshape(count, tokens, self.heads, -1).transpose(1, 2)


class AttentionLayer(nn.Module):
    """Attention, added to what it looked at."""

    def __init__(self, shape: T5Shape, *, counts_distance: bool) -> None:
        super().__init__()
        self.SelfAttention = SelfAttention(shape, counts_distance=counts_distance)
        self.layer_norm = RootNorm(shape.width)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Return the states with what attention adds."""
        added: Tensor = self.SelfAttention(self.layer_norm(states), bias)
        return states + added


class GatedLayer(nn.Module):
    """The gate and the layers around it."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.wi_0 = WideLinear(shape.width, shape.hidden)
        self.wi_1 = WideLinear(shape.width, shape.hidden)
        self.wo = WideLinear(shape.hidden, shape.width)

    def forward(self, states: Tensor) -> Tensor:
        """Return what passes the gate."""
        gate = functional.gelu(self.wi_0(states), approximate="tanh")
        passed: Tensor = self.wo(gate * self.wi_1(states))
        return passed


class FeedForward(nn.Module):
    """The gate, added to what it was given."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.DenseReluDense = GatedLayer(shape)
        self.layer_norm = RootNorm(shape.width)

    def forward(self, states: Tensor) -> Tensor:
        """Return the states with what the gate adds."""
        added: Tensor = self.DenseReluDense(self.layer_norm(states))
        return states + added


class Block(nn.Module):
    """One layer of the encoder."""

    def __init__(self, shape: T5Shape, *, counts_distance: bool) -> None:
        super().__init__()
        attention = AttentionLayer(shape, counts_distance=counts_distance)
        self.layer = nn.ModuleList([attention, FeedForward(shape)])

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Return the states one layer on."""
        attended: Tensor = self.layer[1](self.layer[0](states, bias))
        return attended


class Stack(nn.Module):
    """All layers and the norm behind them."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            Block(shape, counts_distance=number == 0) for number in range(shape.layers)
        )
        self.final_layer_norm = RootNorm(shape.width)


class T5Network(nn.Module):
    """The encoder, its parameters named as in the files, and the tokenizer it was trained with."""

    def __init__(self, shape: T5Shape, tokenizer: T5Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.shared = nn.Embedding(shape.vocabulary, shape.width)
        self.encoder = Stack(shape)

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.parameters()).device

    def forward(self, ids: Tensor) -> Tensor:
        """Return [count, tokens, width] in float32."""
        states = functional.embedding(ids, self.shared.weight).float()
        first = cast("AttentionLayer", cast("Block", self.encoder.block[0]).layer[0])
        bias = first.SelfAttention.bias(ids.shape[1])
        for block in self.encoder.block:
            states = block(states, bias)
        normed: Tensor = self.encoder.final_layer_norm(states)
        return normed


def t5_shape(shapes: Mapping[str, tuple[int, ...]]) -> T5Shape:
    """Read the sizes off the tensors; raise Refused if it is no gated T5 encoder."""
    first = "encoder.block.0.layer."
    wanted = {
        "shared": "shared.weight",
        "q": f"{first}0.SelfAttention.q.weight",
        "bias": f"{first}0.SelfAttention.relative_attention_bias.weight",
        "gate": f"{first}1.DenseReluDense.wi_0.weight",
    }
    missing = [name for name in wanted.values() if name not in shapes]
    if missing:
        raise Refused("this is not a T5 1.1 encoder", missing=missing)
    layers = {name.split(".")[2] for name in shapes if name.startswith("encoder.block.")}
    vocabulary, width = shapes[wanted["shared"]]
    return T5Shape(
        vocabulary=vocabulary,
        width=width,
        heads=shapes[wanted["bias"]][1],
        inner=shapes[wanted["q"]][0],
        hidden=shapes[wanted["gate"]][0],
        layers=len(layers),
    )


def _bucket(distance: Tensor) -> Tensor:
    """Return a bucket for each distance: one each when near, ever wider ones when far."""
    half = BUCKETS // 2
    near = half // 2
    far = distance.abs()
    logs = torch.log(far.float().clamp(min=1) / near)
    spread = near + (logs / torch.tensor(DISTANCE_MAX / near).log() * (half - near)).long()
    bucket = torch.where(far < near, far, spread.clamp(max=half - 1))
    return bucket + half * (distance > 0).long()
