"""Which engines can execute which node types.

The torch engine executes all of them. The portable one executes those listed here: a graph of
these alone may go to any worker, every other one waits for a worker with torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

TORCH: Final = "torch"
PORTABLE: Final = "portable"
ENGINES: Final = (TORCH, PORTABLE)
# What a client may wish for beside the names of engines.
ANY_ENGINE: Final = "auto"

PORTABLE_TYPES: Final = frozenset(
    {
        "CheckpointLoaderSimple",
        "CLIPSetLastLayer",
        "CLIPTextEncode",
        "ConditioningAverage",
        "ConditioningCombine",
        "ConditioningConcat",
        "ConditioningSetArea",
        "ConditioningSetTimestepRange",
        "EmptyImage",
        "EmptyLatentImage",
        "ImageInvert",
        "KSampler",
        "KSamplerAdvanced",
        "LoadImage",
        "PreviewImage",
        "SaveImage",
        "SaveLatent",
        "SetLatentNoiseMask",
        "VAEDecode",
        "VAEEncode",
    }
)


def able(node_types: Iterable[str], wish: str = ANY_ENGINE) -> tuple[str, ...]:
    """Return the engines that may execute a graph of these types; an empty tuple is any.

    A wish for an engine that cannot is followed: who asks for it shall hear that it cannot.
    """
    if wish != ANY_ENGINE:
        return (wish,)
    return () if PORTABLE_TYPES.issuperset(node_types) else (TORCH,)
