"""STYLE_MODEL: a network that makes words of what was seen in a picture, and lays them to a text.

Two kinds: Flux Redux (Black Forest Labs 2024), which needs SigLIP, and the style adapter of
T2I-Adapter (Mou et al. 2023) for Stable Diffusion 1.4 and 1.5, which needs CLIP-L.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.architectures.base import Shapes
from libs.diffusion.loader.build import build
from libs.diffusion.residency import Resident
from libs.diffusion.style_bias import BIAS, grown
from libs.diffusion.vision import VisionOutput
from libs.sampling.conditioning import Conditioning, Entry

REDUX_MARK: Final = "redux_up.weight"
ADAPTER_MARK: Final = "style_embedding"
CHANNELS_PER_HEAD: Final = 128
NAMES_SHOWN: Final = 3

StrengthType = Literal["multiply", "attn_bias"]


class Redux(nn.Module):
    """Makes a word of each patch, by two layers."""

    def __init__(self, seen: int, inner: int, width: int) -> None:
        super().__init__()
        self.redux_up = nn.Linear(seen, inner)
        self.redux_down = nn.Linear(inner, width)

    def forward(self, seen: Tensor) -> Tensor:
        """Return [pictures, patches, width of the text]."""
        words: Tensor = self.redux_down(functional.silu(self.redux_up(seen)))
        return words


class StyleBlock(nn.Module):
    """One layer of the style adapter: a transformer's, with CLIP's activation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, max(1, width // CHANNELS_PER_HEAD))
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [places, pictures, width]."""
        asked = self.ln_1(x)
        x = x + self.attn(asked, asked, asked, need_weights=False)[0]
        inner = self.mlp["c_fc"](self.ln_2(x))
        mixed: Tensor = self.mlp["c_proj"](inner * torch.sigmoid(1.702 * inner))
        return x + mixed


class StyleAdapter(nn.Module):
    """Makes a few words of all patches, by learned questions that are read beside them."""

    def __init__(self, width: int, words: int, layers: int, text: int) -> None:
        super().__init__()
        self.style_embedding = nn.Parameter(torch.empty(1, words, width))
        # The published files spell it so.
        self.transformer_layes = nn.Sequential(*(StyleBlock(width) for _ in range(layers)))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, text))

    def forward(self, seen: Tensor) -> Tensor:
        """Return [pictures, words, width of the text]."""
        questions = self.style_embedding.expand(len(seen), -1, -1)
        places = self.ln_pre(torch.cat([seen, questions], 1)).transpose(0, 1)
        answers = self.transformer_layes(places).transpose(0, 1)[:, -questions.shape[1] :]
        words: Tensor = self.ln_post(answers) @ self.proj
        return words


def require_style(shapes: Shapes) -> None:
    """Raise Refused unless the tensors are those of a style model."""
    if REDUX_MARK not in shapes and ADAPTER_MARK not in shapes:
        raise Refused("the file holds no style model", first=sorted(shapes)[:NAMES_SHOWN])


def build_style(tensors: Mapping[str, Tensor]) -> nn.Module:
    """Build the network from its tensors; raise Refused if they do not fit."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    require_style(shapes)
    if REDUX_MARK in shapes:
        inner, seen = shapes[REDUX_MARK]
        width = shapes.get("redux_down.weight", (0,))[0]
        return build(lambda: Redux(seen, inner, width), tensors)
    _, words, width = shapes[ADAPTER_MARK]
    layers = len({name.split(".")[1] for name in shapes if name.startswith("transformer_layes.")})
    text = shapes.get("proj", (0, 0))[1]
    return build(lambda: StyleAdapter(width, words, layers, text), tensors)


@dataclass(frozen=True)
class StyleModel:
    """A style model's network; it computes in float32 as text encoders do."""

    network: Resident[nn.Module]

    def applied(
        self,
        conditioning: Conditioning,
        seen: VisionOutput,
        strength: float,
        strength_type: StrengthType,
    ) -> Conditioning:
        """Return each text with the words of the pictures behind it.

        "multiply" scales the words: at 0 they are words that say nothing, as in ComfyUI.
        "attn_bias" has them attended to `strength` times as much as others; at 0 nobody
        attends to them, so the text stays as it is.
        """
        if strength_type == "attn_bias" and strength == 0:
            return conditioning
        words = self._words(seen)
        if strength_type == "multiply":
            words = words * strength
        bias = math.log(strength) if strength_type == "attn_bias" else 0.0
        return conditioning.each(lambda entry: with_words(entry, words, bias))

    @torch.inference_mode()
    def _words(self, seen: VisionOutput) -> Tensor:
        """Return the words of all pictures in a row [1, words, width of the text]."""
        wanted = _width_seen(self.network.outline())
        if seen.last.shape[-1] != wanted:
            raise Refused(
                "the style model was made for another vision network: Flux Redux needs SigLIP "
                "(sigclip_vision_patch14_384), the style adapter CLIP-L",
                width=seen.last.shape[-1],
                wanted=wanted,
            )
        network = self.network.get()
        weight = next(network.parameters())
        words: Tensor = network(seen.last.to(weight.device, weight.dtype))
        return words.flatten(0, 1)[None].float().cpu()


def with_words(entry: Entry, words: Tensor, bias: float) -> Entry:
    """Return a text with more words behind it, which text and picture attend to with a bias."""
    text = entry.context
    if text.shape[-1] != words.shape[-1]:
        raise Refused(
            "the style model was made for models with another text encoder",
            text_width=text.shape[-1],
            style_width=words.shape[-1],
        )
    longer = replace(entry, context=torch.cat([text, words.to(text)], 1))
    known = entry.extras.get(BIAS)
    if known is None and not bias:
        return longer
    return longer.with_extras(**{BIAS: grown(known, text.shape[1], words.shape[1], bias)})


def _width_seen(network: nn.Module) -> int:
    first: Any = network.get_parameter(REDUX_MARK if isinstance(network, Redux) else ADAPTER_MARK)
    return int(first.shape[-1])
