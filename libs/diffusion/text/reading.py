"""How the text encoders of a family of models are read, and what becomes of their encodings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.text.t5 import T5Kind
from libs.diffusion.text.tower import Encoded, TowerKind
from libs.sampling.conditioning import Entry

# The names of text encoders, as ComfyUI's nodes and files have them.
CLIP_L: Final = "l"
CLIP_G: Final = "g"
T5: Final = "t5xxl"

OPEN_CLIP_PAD: Final = 0
CLIP_L_WIDTH: Final = 768
CLIP_G_WIDTH: Final = 1280
T5_WIDTH: Final = 4096
TOKENS_OF_NOTHING: Final = 77

Encodings: TypeAlias = Mapping[str, Encoded]
Join: TypeAlias = Callable[[Encodings], Entry]


@dataclass(frozen=True)
class Reading:
    """Which encoders a family has, by name, and how their encodings become one entry."""

    kinds: Mapping[str, TowerKind | T5Kind]
    join: Join


def side_by_side(found: Encodings) -> Entry:
    """Put the encodings beside each other, token by token; the last summary counts."""
    encoded = list(found.values())
    pooled = next((one.pooled for one in reversed(encoded) if one.pooled is not None), None)
    return Entry(_beside(encoded), pooled)


def for_sd3(found: Encodings) -> Entry:
    """Put both CLIP encodings beside each other, filled up to T5's width, and T5's behind them.

    An encoder that is not there counts as zeros.
    """
    l, g, t5 = (found.get(name) for name in (CLIP_L, CLIP_G, T5))  # noqa: E741
    behind: list[Tensor] = []
    if l is not None or g is not None:
        if l is not None and g is not None:
            clip = _beside([l, g])
        elif l is not None:
            clip = l.context
        else:
            clip = functional.pad(_present(g).context, (CLIP_L_WIDTH, 0))
        behind.append(functional.pad(clip, (0, T5_WIDTH - clip.shape[-1])))
    if t5 is not None:
        behind.append(t5.context)
    context = torch.cat(behind, 1) if behind else torch.zeros(1, TOKENS_OF_NOTHING, T5_WIDTH)
    pooled = torch.cat([_summary(l, CLIP_L_WIDTH), _summary(g, CLIP_G_WIDTH)], -1)
    return Entry(context, pooled)


def for_flux(found: Encodings) -> Entry:
    """Take T5's encoding, and CLIP's summary."""
    context = found[T5].context if T5 in found else torch.zeros(1, 1, T5_WIDTH)
    return Entry(context, _summary(found.get(CLIP_L), CLIP_L_WIDTH))


def t5_alone(found: Encodings) -> Entry:
    """Take T5's encoding alone."""
    return Entry(found[T5].context)


SD1: Final = Reading({CLIP_L: TowerKind()}, side_by_side)
SDXL: Final = Reading(
    {
        CLIP_L: TowerKind(layer=-2, final_norm=False),
        CLIP_G: TowerKind(pad=OPEN_CLIP_PAD, layer=-2, final_norm=False),
    },
    side_by_side,
)
SDXL_REFINER: Final = Reading({CLIP_G: SDXL.kinds[CLIP_G]}, side_by_side)
SD3: Final = Reading(
    {
        CLIP_L: TowerKind(layer=-2, final_norm=False, projected=False),
        CLIP_G: SDXL.kinds[CLIP_G],
        T5: T5Kind(tokens_min=77),
    },
    for_sd3,
)
FLUX: Final = Reading({CLIP_L: TowerKind(projected=False), T5: T5Kind(tokens_min=256)}, for_flux)

# Both versions; texts are as long as the network has places for.
COGVIDEOX: Final = Reading({T5: T5Kind(tokens_min=226, tokens_max=226)}, t5_alone)
COGVIDEOX_LATER: Final = Reading({T5: T5Kind(tokens_min=224, tokens_max=224)}, t5_alone)


def _beside(encoded: list[Encoded]) -> Tensor:
    tokens = min(one.context.shape[1] for one in encoded)
    return torch.cat([one.context[:, :tokens] for one in encoded], -1)


def _present(encoded: Encoded | None) -> Encoded:
    if encoded is None:
        raise Refused("a text encoder is missing")
    return encoded


def _summary(encoded: Encoded | None, width: int) -> Tensor:
    if encoded is None:
        return torch.zeros(1, width)
    if encoded.pooled is None:
        raise Refused("the text encoder has no projection, which the summary of a text wants")
    return encoded.pooled
