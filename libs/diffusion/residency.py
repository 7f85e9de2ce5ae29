"""Models in memory: loaded when first used, bounded in bytes, the longest unused goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar, cast

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)
# Is given the name of a part and what loads it, and returns what that returned.
Watch = Callable[[str, Callable[[], Any]], Any]


class ModelCache:
    """Loaded networks by key, shared by all values that point at them.

    A network larger than the bound is kept alone until the next one is wanted: it is in use.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._loaded: OrderedDict[Hashable, nn.Module] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._lock = threading.RLock()
        self._watch: Watch = _unwatched

    def watch(self, loading: Watch) -> None:
        """Let `loading` do every load from now on, given the part's name."""
        self._watch = loading

    @property
    def bytes_used(self) -> int:
        """How much the loaded networks take."""
        return sum(self._sizes.values())

    def keys(self) -> tuple[Hashable, ...]:
        """Return what is loaded, the longest unused first."""
        with self._lock:
            return tuple(self._loaded)

    def get(self, key: Hashable, load: Callable[[], M]) -> M:
        """Return the network under `key`, loading it if it is not there."""
        with self._lock:
            if key not in self._loaded:
                network = self._watch(_part(key), load)
                self._loaded[key] = network
                self._sizes[key] = size_bytes(network)
            self._loaded.move_to_end(key)
            self._evict(keep=key)
            return cast("M", self._loaded[key])

    def free(self) -> None:
        """Let go of everything; values that point here load again when used."""
        with self._lock:
            self._loaded.clear()
            self._sizes.clear()
        _return_device_memory()

    def _evict(self, keep: Hashable) -> None:
        evicted = False
        while self.bytes_used > self.bytes_max and len(self._loaded) > 1:
            oldest = next(key for key in self._loaded if key != keep)
            del self._loaded[oldest], self._sizes[oldest]
            evicted = True
        if evicted:
            _return_device_memory()


@dataclass(frozen=True)
class Resident(Generic[M]):
    """A pointer to a network that is loaded when asked for, and may be evicted in between."""

    cache: ModelCache
    key: Hashable
    load: Callable[[], M]

    def get(self) -> M:
        """Return the network, loading it if need be."""
        return self.cache.get(self.key, self.load)


def size_bytes(network: nn.Module) -> int:
    """Return what a network's parameters and buffers take."""
    tensors = chain(network.parameters(), network.buffers())
    return sum(tensor.nbytes for tensor in tensors if not tensor.is_meta)


def _unwatched(_part: str, load: Callable[[], M]) -> M:
    return load()


def _part(key: Hashable) -> str:
    """Return the part in a key that ends with part and device; other keys have no parts."""
    return str(key[-2]) if isinstance(key, tuple) and len(key) > 1 else ""


def _return_device_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
