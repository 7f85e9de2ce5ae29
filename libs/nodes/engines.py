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
        "AddNoise",
        "AlignYourStepsScheduler",
        "BasicGuider",
        "BasicScheduler",
        "BetaSamplingScheduler",
        "CFGGuider",
        "CheckpointLoaderSimple",
        "CLIPSetLastLayer",
        "CLIPTextEncode",
        "ConditioningAverage",
        "ConditioningCombine",
        "ConditioningConcat",
        "ConditioningSetArea",
        "ConditioningSetTimestepRange",
        "DisableNoise",
        "DualCFGGuider",
        "EmptyImage",
        "EmptyLatentImage",
        "ExponentialScheduler",
        "ExtendIntermediateSigmas",
        "FlipSigmas",
        "ImageInvert",
        "KarrasScheduler",
        "KSampler",
        "KSamplerAdvanced",
        "KSamplerSelect",
        "LaplaceScheduler",
        "LoadImage",
        "ManualSigmas",
        "ModelSamplingContinuousEDM",
        "ModelSamplingContinuousV",
        "ModelSamplingDiscrete",
        "PerpNegGuider",
        "PolyexponentialScheduler",
        "PreviewImage",
        "RandomNoise",
        "RescaleCFG",
        "SamplerCustom",
        "SamplerCustomAdvanced",
        "SamplerDPMAdaptative",
        "SamplerDPMPP_2S_Ancestral",
        "SamplerER_SDE",
        "SamplerEulerAncestral",
        "SamplerEulerAncestralCFGPP",
        "SamplerLMS",
        "SamplerSASolver",
        "SamplerSEEDS2",
        "SamplingPercentToSigma",
        "SaveImage",
        "SaveLatent",
        "SDTurboScheduler",
        "SetFirstSigma",
        "SetLatentNoiseMask",
        "SplitSigmas",
        "SplitSigmasDenoise",
        "VAEDecode",
        "VAEDecodeTiled",
        "VAEEncode",
        "VAEEncodeTiled",
        "VPScheduler",
    }
)


def able(node_types: Iterable[str], wish: str = ANY_ENGINE) -> tuple[str, ...]:
    """Return the engines that may execute a graph of these types; an empty tuple is any.

    A wish for an engine that cannot is followed: who asks for it shall hear that it cannot.
    """
    if wish != ANY_ENGINE:
        return (wish,)
    return () if PORTABLE_TYPES.issuperset(node_types) else (TORCH,)
