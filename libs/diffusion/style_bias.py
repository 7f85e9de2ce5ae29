"""How much more or less the words that were laid to a text are attended to."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

# Beside a text: how much less each of its words is attended to. [1, words + 1, words], by the
# word that asks and the word that answers; the last row is asked by the picture.
BIAS: Final = "attention_bias"


def grown(known: Tensor | None, words: int, more: int, bias: float) -> Tensor:
    """Return the bias of a text with more words; half precision, as ComfyUI rounds it."""
    grown = torch.zeros(1, words + more + 1, words + more, dtype=torch.float16)
    if known is not None:
        grown[:, :words, :words] = known[:, :-1]
        grown[:, -1, :words] = known[:, -1]
    grown[:, :words, words:] = bias
    grown[:, -1, words:] = bias
    return grown


def attention_bias(told: Tensor, words: int, patches: int, dtype: torch.dtype) -> Tensor:
    """Return what is added where words and patches attend to each other.

    [count, 1, words + patches, words + patches], by what asks and what answers. Words that were
    laid to the text later are attended to as they are.
    """
    known = told.shape[-1]
    whole = torch.zeros(
        len(told), 1, words + patches, words + patches, dtype=dtype, device=told.device
    )
    whole[:, 0, :known, :known] = told[:, :-1].to(dtype)
    whole[:, 0, words:, :known] = told[:, -1:].to(dtype)
    return whole
