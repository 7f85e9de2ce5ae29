"""What a ControlNet for several types of hints has beside one for a single type.

It is told the type twice: in the embedding of the time, and where it looks at the hint.
"""

from __future__ import annotations

from typing import Final

import torch
from diffusers import ControlNetModel
from diffusers.models.controlnets.controlnet_union import ResidualAttentionBlock
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.control.base import Hint

MARK: Final = "task_embedding"
TYPE_WIDTH: Final = 256
CHANNELS_PER_HEAD: Final = 40
# In the order of the numbers that the files know them by.
TYPES: Final = (
    "openpose",
    "depth",
    "hed/pidi/scribble/ted",
    "canny/lineart/anime_lineart/mlsd",
    "normal",
    "segment",
    "tile",
    "repaint",
)
# How tensors are called in the files, and where they are in the network here.
MOVED: Final = {
    "controlnet_cond_embedding.": "controlnet_cond_embedding.inner.",
    "task_embedding": "controlnet_cond_embedding.task_embedding",
    "transformer_layes.": "controlnet_cond_embedding.layers.",
    "spatial_ch_projs.": "controlnet_cond_embedding.projection.",
    "control_add_embedding.": "class_embedding.embedding.",
}


class TypeEmbedding(nn.Module):
    """Says which types a hint is of, as the network is told the time."""

    def __init__(self, types: int, width: int) -> None:
        super().__init__()
        self.waves = Timesteps(TYPE_WIDTH, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.embedding = TimestepEmbedding(TYPE_WIDTH * types, width)

    def forward(self, flags: Tensor) -> Tensor:
        waves = self.waves(flags.flatten()).reshape(len(flags), -1)
        embedded: Tensor = self.embedding(waves.to(self.embedding.linear_1.weight.dtype))
        return embedded


class TypedHint(nn.Module):
    """Looks at a hint, and shifts what it sees by what the type of the hint means."""

    def __init__(self, inner: nn.Module, types: int, width: int) -> None:
        super().__init__()
        self.inner = inner
        self.task_embedding = nn.Parameter(torch.empty(types, width))
        heads = max(1, width // CHANNELS_PER_HEAD)
        self.layers = nn.Sequential(ResidualAttentionBlock(width, heads))
        self.projection = nn.Linear(width, width)

    def forward(self, hint: Hint) -> Tensor:
        seen: Tensor = self.inner(hint.values)
        for kind in hint.types:
            # One at a time: a hint is one picture, so its summary attends to nothing else.
            summary = seen.mean((2, 3)) + self.task_embedding[kind]
            shift = self.projection(self.layers(summary[:, None])[:, 0])
            seen = seen + shift[:, :, None, None]
        return seen


def with_types(network: ControlNetModel, types: int) -> ControlNetModel:
    """Return a ControlNet that tells types of hints apart."""
    width = network.config.block_out_channels[0]
    inner = network.controlnet_cond_embedding
    network.controlnet_cond_embedding = TypedHint(inner, types, width)
    network.class_embedding = TypeEmbedding(types, 4 * width)
    return network


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by the names that they have in the network here."""
    found = {}
    for name, tensor in tensors.items():
        start = next((start for start in MOVED if name.startswith(start)), None)
        found[name if start is None else MOVED[start] + name.removeprefix(start)] = tensor
    return found


def flags(hint: Hint, types: int, like: Tensor) -> Tensor:
    """Return one row of flags per latent; raise Refused for a type that the file lacks."""
    for kind in hint.types:
        if kind >= types:
            raise Refused(
                "this ControlNet does not know that type of hint; a ProMax file knows all",
                type=TYPES[kind],
                known=list(TYPES[:types]),
            )
    row = torch.zeros(types, device=like.device)
    row[list(hint.types)] = 1.0
    return row.expand(len(like), -1)
