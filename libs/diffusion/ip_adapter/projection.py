"""From what a vision network saw to tokens that a UNet attends to, in the ways of each variant.

Modules have the names of the published files, so that their tensors fit as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.architectures.base import Shapes

CHANNELS_PER_HEAD: Final = 64
PREFIX: Final = "image_proj."


class Summary(nn.Module):
    """The first variant: a few tokens, from the summary of a picture alone."""

    sees_patches = False

    def __init__(self, seen: int, tokens: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(seen, tokens * width)
        self.norm = nn.LayerNorm(width)
        self.width = width

    def forward(self, seen: Tensor) -> Tensor:
        """Return [pictures, tokens, width]."""
        tokens: Tensor = self.norm(self.proj(seen).reshape(len(seen), -1, self.width))
        return tokens


class Whole(nn.Module):
    """The full face variant: a token for each patch of the picture."""

    sees_patches = True

    def __init__(self, seen: int, hidden: int, width: int) -> None:
        super().__init__()
        layers = (nn.Linear(seen, hidden), nn.GELU(), nn.Linear(hidden, width), nn.LayerNorm(width))
        self.proj = nn.Sequential(*layers)

    def forward(self, seen: Tensor) -> Tensor:
        """Return [pictures, patches, width]."""
        tokens: Tensor = self.proj(seen)
        return tokens


class Resampler(nn.Module):
    """The plus variants: learned questions that are answered by the patches of a picture."""

    sees_patches = True

    def __init__(self, seen: int, tokens: int, inner: int, depth: int, width: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(1, tokens, inner))
        self.proj_in = nn.Linear(seen, inner)
        self.proj_out = nn.Linear(inner, width)
        self.norm_out = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            nn.ModuleList((Perceiver(inner), _mixing(inner))) for _ in range(depth)
        )

    def forward(self, seen: Tensor) -> Tensor:
        """Return [pictures, tokens, width]."""
        patches = self.proj_in(seen)
        questions = self.latents.expand(len(seen), -1, -1)
        for layer in self.layers:
            attend, mix = layer.children()
            questions = attend(patches, questions) + questions
            questions = mix(questions) + questions
        tokens: Tensor = self.norm_out(self.proj_out(questions))
        return tokens


class Perceiver(nn.Module):
    """Lets questions attend to patches and to each other (Jaegle et al. 2021)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, patches: Tensor, questions: Tensor) -> Tensor:
        """Return what the questions learn."""
        questions = self.norm2(questions)
        known = torch.cat([self.norm1(patches), questions], 1)
        key, value = self.to_kv(known).chunk(2, -1)
        heads = max(1, key.shape[-1] // CHANNELS_PER_HEAD)
        answered: Tensor = self.to_out(attended(self.to_q(questions), key, value, heads))
        return answered


def attended(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Return the attention of [batch, tokens, width] to others, in heads."""
    q, k, v = (
        one.reshape(*one.shape[:2], heads, -1).transpose(1, 2) for one in (query, key, value)
    )
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def maker(shapes: Shapes) -> Callable[[], Summary | Whole | Resampler]:
    """Return what makes the projection of a file; raise Refused if it is of no known variant."""
    inner = {name.removeprefix(PREFIX): s for name, s in shapes.items() if name.startswith(PREFIX)}
    if "latents" in inner:
        _, tokens, width = inner["latents"]
        depth = len({name.split(".")[1] for name in inner if name.startswith("layers.")})
        seen, out = inner["proj_in.weight"][1], inner["proj_out.weight"][0]
        return lambda: Resampler(seen, tokens, width, depth, out)
    if "proj.weight" in inner and "norm.weight" in inner:
        (rows, seen), (width,) = inner["proj.weight"], inner["norm.weight"]
        return lambda: Summary(seen, rows // width, width)
    if "proj.3.weight" in inner:
        hidden, seen = inner["proj.0.weight"]
        return lambda: Whole(seen, hidden, inner["proj.3.weight"][0])
    raise Refused(
        "the IP-Adapter is of no variant that is known here: base, plus and full face are",
        first=sorted(inner)[:3],
    )


def _mixing(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width, bias=False),
        nn.GELU(),
        nn.Linear(4 * width, width, bias=False),
    )
