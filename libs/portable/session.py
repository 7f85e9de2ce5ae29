"""Networks in ONNX Runtime: opened when first used, bounded in bytes, on the chosen device."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from libs.core.errors import Refused

REASON_CHARACTERS: Final = 300
# What HIP-35 calls the device, and what ONNX Runtime calls it.
PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}


def provider_of(device: str) -> str:
    """Return the provider of a device; raise Refused if this ONNX Runtime has none of it."""
    import onnxruntime

    if device not in PROVIDERS:
        raise Refused("there is no such device", field="device", known=sorted(PROVIDERS))
    provider = PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise Refused(
            "the ONNX Runtime that is installed cannot compute there",
            device=device,
            provider=provider,
            installed=onnxruntime.get_available_providers(),
        )
    return provider


@dataclass
class Sessions:
    """Open networks by file, the longest unused closed when they take too many bytes.

    `watch` is told of each opening, as the torch engine's cache tells of each load.
    """

    bytes_max: int
    device: str = "cpu"
    threads: int = 1
    _open: OrderedDict[Path, tuple[Any, int]] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _watch: Any = None

    def watch(self, loading: Any) -> None:
        """Let `loading` do every opening from now on, given the part's name."""
        self._watch = loading

    def run(self, path: Path, inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Evaluate a network on its named inputs; those that it does not have are left out."""
        session = self._session(path)
        known = {given.name for given in session.get_inputs()}
        fed = {name: value for name, value in inputs.items() if name in known}
        try:
            outputs: list[NDArray[np.float32]] = session.run(None, fed)
        except Exception as error:
            raise Refused(
                "the network does not take what it is given",
                network=path.stem,
                given={name: list(value.shape) for name, value in fed.items()},
                reason=str(error)[:REASON_CHARACTERS],
            ) from error
        return outputs

    def free(self) -> None:
        """Close everything."""
        with self._lock:
            self._open.clear()

    def _session(self, path: Path) -> Any:
        with self._lock:
            if path not in self._open:
                opened = self._opened(path)
                self._open[path] = (opened, _size_bytes(path))
            self._open.move_to_end(path)
            while len(self._open) > 1 and sum(s for _, s in self._open.values()) > self.bytes_max:
                self._open.popitem(last=False)
            return self._open[path][0]

    def _opened(self, path: Path) -> Any:
        def load() -> Any:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self.threads
            options.log_severity_level = 3
            try:
                return onnxruntime.InferenceSession(
                    path, options, providers=[provider_of(self.device)]
                )
            except Exception as error:
                # ONNX Runtime's errors have no family of their own.
                raise Refused(
                    "the network cannot be read",
                    file=path.name,
                    reason=str(error)[:REASON_CHARACTERS],
                ) from error

        return self._watch(path.stem, load) if self._watch is not None else load()


def _size_bytes(path: Path) -> int:
    beside = path.with_name(path.name + ".data")
    return path.stat().st_size + (beside.stat().st_size if beside.is_file() else 0)
