"""The one door to torch: opened in the engine child, when it starts."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, cast

from libs.core.jsonvalue import Json, JsonObject
from libs.core.profiles import EXACT
from libs.sampling.turns import Turns

if TYPE_CHECKING:
    from libs.diffusion.torch_loader import TorchLoader
    from services.gpu_worker.sharing import Codec

MIB: Final = 1024 * 1024
MODELS_SHARE: Final = 0.7
SOFTWARE: Final = ("torch", "diffusers", "transformers", "safetensors")


@dataclass(frozen=True)
class Backend:
    """A device, and the loader of its models, which takes seconds to import.

    `turns` lets runs be computed beside each other; up to `graphs_max` evaluations are replayed.
    """

    torch: Any
    device: str
    models_mib: int
    precision: str = "auto"
    turns: Turns | None = None
    graphs_max: int = 0

    @property
    def on_cuda(self) -> bool:
        """Say whether the device is a GPU."""
        return self.device == "cuda"

    @cached_property
    def loader(self) -> TorchLoader:
        """The process-wide source of models."""
        from libs.diffusion.determinism import pin
        from libs.diffusion.fast.graphs import CudaRecorder, Graphs
        from libs.diffusion.memory import CudaMemory
        from libs.diffusion.placement import Placement
        from libs.diffusion.precision import at_precision
        from libs.diffusion.residency import ModelCache
        from libs.diffusion.torch_loader import TorchLoader

        pin(self.torch.get_num_threads())
        placement = Placement.cuda() if self.on_cuda else Placement.cpu()
        memory = CudaMemory(placement.device) if self.on_cuda else None
        models_mib = self.models_mib or int(self.memory_mib * MODELS_SHARE)
        cache = ModelCache(models_mib * MIB, memory)
        graphs = None
        if self.graphs_max:
            graphs = Graphs(self.graphs_max, CudaRecorder(placement.device))
            cache.also_frees(graphs.free)
        placement = at_precision(placement, self.precision)
        return TorchLoader(placement, cache, turns=self.turns, graphs=graphs)

    @cached_property
    def name(self) -> str:
        """What people call the device."""
        if self.on_cuda:
            return str(self.torch.cuda.get_device_name())
        return f"cpu {platform.machine()}"

    @cached_property
    def memory_mib(self) -> int:
        """How much memory the device has."""
        if self.on_cuda:
            return int(self.torch.cuda.get_device_properties(0).total_memory // MIB)
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB

    @cached_property
    def software(self) -> dict[str, str]:
        """Which versions compute."""
        cuda = str(self.torch.version.cuda or "")
        found = {name: version(name) for name in SOFTWARE}
        return {"python": platform.python_version(), **found, "cuda": cuda}

    def hello(self) -> JsonObject:
        """Return what the agent says about its worker."""
        return {
            "pid": os.getpid(),
            "backend": "torch",
            "device": self.name,
            "memory_mib": self.memory_mib,
            "software": cast("Json", self.software),
            **self.room(),
        }

    def room(self) -> JsonObject:
        """Return how much memory is free now."""
        if self.on_cuda:
            return {"free_mib": self.torch.cuda.mem_get_info()[0] // MIB}
        return {"free_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // MIB}

    def begin(self, profile: str, *, alone: bool = True) -> TorchLoader:
        """Return the loader of a profile; the peak of memory counts from when a run is alone."""
        from libs.diffusion.determinism import pin_kernels

        if self.on_cuda and alone:
            self.torch.cuda.reset_peak_memory_stats()
        loader = self.loader.as_profile(profile)
        pin_kernels(pinned=profile == EXACT)
        return loader

    @cached_property
    def codec(self) -> Codec:
        """How values become bytes for other workers."""
        from libs.diffusion import carrying

        return carrying

    def facts(self, weights: Mapping[str, str], profile: str) -> JsonObject:
        """Return what is known of a job that finished: its peak and what its bytes rest on.

        `weights` maps the files that it used to their sha256.
        """
        from libs.diffusion.determinism import fingerprint

        loader = self.loader.as_profile(profile)
        facts = fingerprint(
            weights,
            loader.placement,
            loader.compatibility,
            profile=profile,
            levers=loader.levers.told(),
        )
        peak = self.torch.cuda.max_memory_allocated() // MIB if self.on_cuda else 0
        return {"peak_vram_mib": peak, "fingerprint": cast("Json", facts)}


def open_backend() -> Backend:
    """Import torch and take the device that the environment names."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    wanted = os.environ.get("STUDIO_ENGINE_DEVICE", "auto")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    models_mib = int(os.environ.get("STUDIO_ENGINE_MODELS_MIB", "0"))
    runs = int(os.environ.get("STUDIO_ENGINE_BATCH", "1"))
    rows = int(os.environ.get("STUDIO_ENGINE_BATCH_ROWS", "16"))
    return Backend(
        torch,
        wanted,
        models_mib,
        os.environ.get("STUDIO_ENGINE_PRECISION", "auto"),
        Turns(runs, rows) if runs > 1 else None,
        int(os.environ.get("STUDIO_ENGINE_CUDA_GRAPHS", "0")),
    )
