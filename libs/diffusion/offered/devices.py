"""`comfy.model_management`: where to compute; networks of the house are placed by the house."""

from __future__ import annotations

import gc
import os
from enum import Enum
from typing import Any, Final

import torch

CPU: Final = torch.device("cpu")
OOM_EXCEPTION: Final = torch.OutOfMemoryError


class VRAMState(Enum):
    """How networks are kept; packs read one of these."""

    DISABLED = 0
    NO_VRAM = 1
    LOW_VRAM = 2
    NORMAL_VRAM = 3
    HIGH_VRAM = 4
    SHARED = 5


class CPUState(Enum):
    """What computes."""

    GPU = 0
    CPU = 1
    MPS = 2


vram_state = VRAMState.NORMAL_VRAM if torch.cuda.is_available() else VRAMState.DISABLED
cpu_state = CPUState.GPU if torch.cuda.is_available() else CPUState.CPU


def get_torch_device() -> torch.device:
    """Return where to compute."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else CPU


def get_torch_device_name(device: torch.device) -> str:
    """Return what a device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def intermediate_device() -> torch.device:
    """Return where values on wires lie."""
    return CPU


def unet_offload_device() -> torch.device:
    """Return where a pack puts a network that it does not need now."""
    return CPU


text_encoder_device = get_torch_device
vae_device = get_torch_device
text_encoder_offload_device = unet_offload_device
vae_offload_device = unet_offload_device


def is_device_cpu(device: torch.device) -> bool:
    """Say whether a device is the CPU."""
    return device.type == "cpu"


def is_device_mps(device: torch.device) -> bool:
    """Say whether a device is Apple's."""
    return device.type == "mps"


def should_use_fp16(*_: Any, **__: Any) -> bool:
    """Say whether to compute in halves."""
    return torch.cuda.is_available()


def should_use_bf16(*_: Any, **__: Any) -> bool:
    """Say whether to compute in halves of the wider kind."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def get_total_memory(dev: torch.device | None = None) -> int:
    """Return how many bytes a device has."""
    device = dev or get_torch_device()
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def get_free_memory(dev: torch.device | None = None) -> int:
    """Return how many bytes of a device are free."""
    device = dev or get_torch_device()
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def soft_empty_cache(force: bool = False) -> None:
    """Give memory back that nothing lies in."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
