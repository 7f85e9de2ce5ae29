"""Where the arithmetic happens, and in which number format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch


@dataclass(frozen=True)
class Placement:
    """A device with the number format of each kind of network.

    Texts are always encoded in float32: there half precision can be seen in the picture.
    `storage` says how the weights of diffusion networks are kept (`libs.diffusion.precision`).
    """

    device: torch.device
    unet: torch.dtype
    vae: torch.dtype
    text: torch.dtype = torch.float32
    storage: str = "default"

    @classmethod
    def best(cls) -> Self:
        """Return the first CUDA device, or the CPU where there is none."""
        return cls.cuda() if torch.cuda.is_available() else cls.cpu()

    @classmethod
    def cpu(cls) -> Self:
        """Return the CPU; files in half precision are computed in float32 there."""
        return cls(torch.device("cpu"), unet=torch.float32, vae=torch.float32)

    @classmethod
    def cuda(cls, index: int = 0) -> Self:
        """Return a CUDA device; the VAE of SDXL overflows in float16, hence bfloat16."""
        device = torch.device("cuda", index)
        with torch.cuda.device(device):
            vae = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        return cls(device, unet=torch.float16, vae=vae)
