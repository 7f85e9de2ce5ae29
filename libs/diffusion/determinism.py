"""What makes two executions give the same bytes, pinned and written down."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

import torch

from libs.diffusion.placement import Placement

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "pillow", "safetensors")
# The vector instructions that any x86-64 machine of the last ten years has.
PORTABLE_INSTRUCTIONS: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
}
CUDA_WORKSPACE: Mapping[str, str] = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def pinned_environment(threads: int) -> dict[str, str]:
    """Return the variables a process must be started with, so that others can repeat its work.

    They are read when torch is imported; setting them later has no effect.
    """
    return {"OMP_NUM_THREADS": str(threads), **PORTABLE_INSTRUCTIONS, **CUDA_WORKSPACE}


def pin(threads: int) -> None:
    """Pin what can be pinned after the import: threads, kernels, number formats."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def fingerprint(
    weights: Mapping[str, str], placement: Placement, compatibility: int
) -> dict[str, str]:
    """Return what the bytes of a picture depend on besides the graph, seeds included there.

    `weights` maps file names to their sha256. Where two fingerprints are equal, the same graph
    gives the same pixels; where they differ, the difference names the reason.
    """
    facts = dict(_versions())
    facts |= {f"weights/{name}": digest for name, digest in sorted(weights.items())}
    facts |= {
        "backend": "torch",
        "device": _device(placement.device),
        "dtype": "/".join(_short(kind) for kind in (placement.unet, placement.vae, placement.text)),
        "storage": placement.storage,
        "threads": str(torch.get_num_threads()),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "compatibility": str(compatibility),
    }
    return facts | {
        name.lower(): os.environ.get(name, "") for name in (*PORTABLE_INSTRUCTIONS, *CUDA_WORKSPACE)
    }


def digest(facts: Mapping[str, str]) -> str:
    """Return one name for a fingerprint."""
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()


def _device(device: torch.device) -> str:
    if device.type != "cuda":
        return device.type
    return f"{torch.cuda.get_device_name(device)} cuda {torch.version.cuda}"


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


@cache
def _versions() -> Mapping[str, str]:
    # Looked up on disk, which takes longer than a small graph.
    return {name: version(name) for name in PACKAGES}
