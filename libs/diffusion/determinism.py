"""What makes two executions give the same bytes, pinned and written down."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import zlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from libs.core.profiles import EXACT
from libs.diffusion.placement import Placement

ENGINE = "hanzo-studio"
PACKAGES = (
    ENGINE,
    "torch",
    "diffusers",
    "transformers",
    "numpy",
    "scipy",
    "torchsde",
    "pillow",
    "av",
    "safetensors",
    "gguf",
)
# The libraries that torch was built with, as it names them.
LIBRARIES = {
    "onednn": re.compile(r"MKL-DNN (v\S+ \(Git Hash \w+\))"),
    "mkl": re.compile(r"Math Kernel Library Version (\S+ Build \w+)"),
}
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
    pin_kernels(pinned=True)


def pin_kernels(*, pinned: bool) -> None:
    """Let only kernels be used that repeat their bytes, or those that are fastest."""
    torch.use_deterministic_algorithms(mode=pinned, warn_only=True)
    torch.backends.cudnn.benchmark = not pinned
    torch.backends.cudnn.deterministic = pinned
    torch.backends.cudnn.allow_tf32 = not pinned
    torch.backends.cuda.matmul.allow_tf32 = not pinned


def fingerprint(
    weights: Mapping[str, str],
    placement: Placement,
    compatibility: int,
    *,
    profile: str = EXACT,
    levers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return what the bytes of a picture depend on besides the graph, seeds included there.

    `weights` maps file names to their sha256; `levers` says what the profile changes. Where two
    fingerprints are equal, the same graph gives the same pixels; where they differ, the
    difference names the reason.
    """
    facts = {f"weights/{name}": digest for name, digest in sorted(weights.items())}
    facts |= _software()
    facts |= {
        "backend": "torch",
        "profile": profile,
        "device": _device(placement.device),
        "dtype": "/".join(_short(kind) for kind in (placement.unet, placement.vae, placement.text)),
        "storage": placement.storage,
        "memory_format": "contiguous",
        "batch": "alone",
        "attention": _attention(),
        "threads": str(torch.get_num_threads()),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "compatibility": str(compatibility),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
        "tf32": str(torch.backends.cuda.matmul.allow_tf32).lower(),
    }
    pins = {
        name.lower(): os.environ.get(name, "") for name in (*PORTABLE_INSTRUCTIONS, *CUDA_WORKSPACE)
    }
    if not all(os.environ.get(name) for name in PORTABLE_INSTRUCTIONS):
        # Libraries that are not held to common instructions choose theirs by the processor.
        facts["processor"] = _processor()
    return facts | pins | dict(levers or {})


def digest(facts: Mapping[str, str]) -> str:
    """Return one name for a fingerprint."""
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()


def _device(device: torch.device) -> str:
    if device.type != "cuda":
        return device.type
    return f"{torch.cuda.get_device_name(device)} cuda {torch.version.cuda}"


def _attention() -> str:
    """Return which kinds of attention torch may choose from."""
    kinds = ("flash", "mem_efficient", "math", "cudnn")
    able = (kind for kind in kinds if getattr(torch.backends.cuda, f"{kind}_sdp_enabled")())
    return "sdpa:" + "+".join(able)


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


@cache
def _software() -> Mapping[str, str]:
    """Return all versions. Looked up on disk, which takes longer than a small graph."""
    built = torch.__config__.show()
    facts = {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION}
    for name, pattern in LIBRARIES.items():
        found = pattern.search(built)
        facts[name] = found[1] if found else ""
    cudnn = torch.backends.cudnn
    found_cudnn = cudnn.version() if cudnn.is_available() else ""  # type: ignore[no-untyped-call]
    return facts | {"cudnn": str(found_cudnn)} | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        # The product itself, where it is started out of a folder.
        return ""


@cache
def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    return found[1] if found else platform.processor()
