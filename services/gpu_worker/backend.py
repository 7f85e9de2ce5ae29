"""The one door to torch: opened in the engine child, when it starts."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from libs.core.jsonvalue import Json, JsonObject

if TYPE_CHECKING:
    from libs.diffusion.torch_loader import TorchLoader

MIB: Final = 1024 * 1024
MODELS_SHARE: Final = 0.7


@dataclass(frozen=True)
class Backend:
    """A device, what runs on it, and the loader of its models."""

    loader: TorchLoader
    device: str
    device_name: str
    memory_mib: int
    software: dict[str, str]

    def hello(self) -> JsonObject:
        """Return what the agent says about its worker."""
        return {
            "pid": os.getpid(),
            "backend": "torch",
            "device": self.device_name,
            "memory_mib": self.memory_mib,
            "software": cast("Json", self.software),
            **self.room(),
        }

    def room(self) -> JsonObject:
        """Return how much memory is free now."""
        import torch

        if self.device.startswith("cuda"):
            return {"free_mib": torch.cuda.mem_get_info()[0] // MIB}
        return {"free_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // MIB}

    def begin(self) -> None:
        """Count the memory of the next job from here on."""
        import torch

        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()

    def facts(self) -> JsonObject:
        """Return what is known of a job that finished."""
        import torch

        peak = torch.cuda.max_memory_allocated() // MIB if self.device.startswith("cuda") else 0
        placement = self.loader.placement
        fingerprint = {
            **self.software,
            "device": self.device_name,
            "threads": str(torch.get_num_threads()),
            "unet": str(placement.unet),
            "vae": str(placement.vae),
            "text": str(placement.text),
            "compatibility": str(self.loader.compatibility),
        }
        return {"peak_vram_mib": peak, "fingerprint": cast("Json", fingerprint)}


def open_backend() -> Backend:
    """Import torch and take the device that the environment names."""
    import torch

    from libs.diffusion.placement import Placement
    from libs.diffusion.residency import ModelCache
    from libs.diffusion.torch_loader import TorchLoader

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    wanted = os.environ.get("STUDIO_ENGINE_DEVICE", "auto")
    placement = {"cpu": Placement.cpu, "cuda": Placement.cuda}.get(wanted, Placement.best)()
    memory_mib = _memory_mib(placement.device.type)
    models_mib = int(os.environ.get("STUDIO_ENGINE_MODELS_MIB", "0"))
    cache = ModelCache((models_mib or int(memory_mib * MODELS_SHARE)) * MIB)
    cuda = placement.device.type == "cuda"
    return Backend(
        loader=TorchLoader(placement, cache),
        device=str(placement.device),
        device_name=torch.cuda.get_device_name() if cuda else f"cpu {platform.machine()}",
        memory_mib=memory_mib,
        software=_software(),
    )


def _memory_mib(device: str) -> int:
    import torch

    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory // MIB)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB


def _software() -> dict[str, str]:
    import diffusers
    import torch
    import transformers

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
