"""The door to the portable engine: a worker of ONNX Runtime, in a process without torch."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, cast

from libs.core.jsonvalue import Json, JsonObject
from libs.nodes.engines import PORTABLE

if TYPE_CHECKING:
    from libs.portable.loader import PortableLoader
    from services.gpu_worker.sharing import Codec

MIB: Final = 1024 * 1024
MODELS_SHARE: Final = 0.7
SOFTWARE: Final = ("onnxruntime", "numpy", "tokenizers")
AUTO: Final = "auto"


@dataclass(frozen=True)
class PortableBackend:
    """A device of ONNX Runtime, and the loader of exported models."""

    device: str
    threads: int
    models_mib: int
    turns: None = None

    @cached_property
    def loader(self) -> PortableLoader:
        """The process-wide source of models."""
        from libs.portable.loader import PortableLoader
        from libs.portable.session import Sessions

        models_mib = self.models_mib or int(self.memory_mib * MODELS_SHARE)
        return PortableLoader(Sessions(models_mib * MIB, self.device, self.threads))

    @cached_property
    def memory_mib(self) -> int:
        """How much memory the machine has."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB

    @cached_property
    def software(self) -> dict[str, str]:
        """Which versions compute."""
        found = {name: _version(name) for name in SOFTWARE}
        return {"python": platform.python_version(), **found}

    def hello(self) -> JsonObject:
        """Return what the agent says about its worker."""
        return {
            "pid": os.getpid(),
            "backend": PORTABLE,
            "device": f"{self.device} {platform.machine()}",
            "memory_mib": self.memory_mib,
            "software": cast("Json", self.software),
            **self.room(),
        }

    def room(self) -> JsonObject:
        """Return how much memory is free now."""
        return {"free_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // MIB}

    def begin(self, profile: str, *, alone: bool = True) -> PortableLoader:  # noqa: ARG002
        """Return the loader: both profiles compute alike here, and no peak is told of."""
        return self.loader

    @cached_property
    def codec(self) -> Codec:
        """How values become bytes for other workers."""
        from libs.portable import carrying

        return carrying

    def facts(self, weights: Mapping[str, str], profile: str) -> JsonObject:
        """Return what the bytes of a job's pictures rest on; `weights` maps files to sha256."""
        facts = {f"weights/{name}": digest for name, digest in sorted(weights.items())}
        facts |= {name: self.software[name] for name in SOFTWARE}
        facts |= {
            "backend": PORTABLE,
            "profile": profile,
            "device": self.device,
            "dtype": "float32",
            "threads": str(self.threads),
            "machine": platform.machine(),
            "compatibility": str(self.loader.compatibility),
        }
        return {"peak_vram_mib": 0, "fingerprint": cast("Json", facts)}


def open_portable() -> PortableBackend:
    """Take the device that the environment names; raise Refused if ONNX Runtime lacks it."""
    from libs.portable.session import provider_of

    wanted = os.environ.get("STUDIO_ENGINE_DEVICE", AUTO)
    device = "cpu" if wanted == AUTO else wanted
    provider_of(device)
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    return PortableBackend(device, threads, int(os.environ.get("STUDIO_ENGINE_MODELS_MIB", "0")))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        # ONNX Runtime for other devices is packaged under other names.
        return ""
