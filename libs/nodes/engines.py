"""Which engines can execute which node types.

The torch engine executes all of them. The portable one executes those listed here: a graph of
these alone may go to any worker, every other one waits for a worker with torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from libs.graph.value import Node

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
        "ComfySwitchNode",
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


# Their noise is a path that torch alone draws.
TORCH_SAMPLERS: Final = frozenset(
    f"{name}{place}"
    for name in ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde")
    for place in ("", "_gpu")
)


def able(nodes: Iterable[Node], wish: str = ANY_ENGINE) -> tuple[str, ...]:
    """Return the engines that may execute a graph of these nodes; an empty tuple is any.

    A wish for an engine that cannot is followed: who asks for it shall hear that it cannot.
    """
    if wish != ANY_ENGINE:
        return (wish,)
    return () if all(map(_is_portable, nodes)) else (TORCH,)


def _is_portable(node: Node) -> bool:
    sampler = node.inputs.get("sampler_name")
    paths = isinstance(sampler, str) and sampler in TORCH_SAMPLERS
    return node.type in PORTABLE_TYPES and not paths
