"""Models in memory: loaded when first used, bounded in bytes, the longest unused goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from torch import nn

from libs.diffusion.memory import Memory, Placed, place
from libs.diffusion.offload import size_bytes

M = TypeVar("M", bound=nn.Module)
M_co = TypeVar("M_co", bound=nn.Module, covariant=True)
# Is given the name of a part and what loads it, and returns what that returned.
Watch = Callable[[str, Callable[[], Any]], Any]


OUTLINES_MAX = 16


class ModelCache:
    """Loaded networks by key, shared by all values that point at them.

    Without a `memory` to ask, a network larger than the bound is kept alone until the next one
    is wanted: it is in use. With one, the layers that have no room visit the device in turn.
    """

    def __init__(self, bytes_max: int, memory: Memory | None = None) -> None:
        self.bytes_max = bytes_max
        self._memory = memory
        self._loaded: OrderedDict[Hashable, nn.Module] = OrderedDict()
        self._outlines: OrderedDict[Hashable, nn.Module] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._users: list[int] = []
        self._spare: Callable[[], None] = lambda: None
        self._watch: Watch = _unwatched

    def also_frees(self, spare: Callable[[], None]) -> None:
        """Call `spare` before a network is let go of: it gives memory that is easily made anew."""
        self._spare = spare

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

    def get(self, key: Hashable, load: Callable[[], M], device: torch.device | None = None) -> M:
        """Return the network under `key`; load it and put it on `device` if it is not there."""
        with self._lock:
            if key not in self._loaded:
                # Whoever asks first computes already; a network must outlive that.
                with torch.inference_mode(mode=False):
                    placed = self._watch(_part(key), lambda: self._placed(load(), device))
                self._loaded[key] = placed.network
                self._sizes[key] = placed.bytes_used
            self._loaded.move_to_end(key)
            return cast("M", self._loaded[key])

    def find(self, key: Hashable) -> nn.Module | None:
        """Return the network under `key` if it is loaded."""
        with self._lock:
            return self._loaded.get(key)

    @contextmanager
    def using(self) -> Iterator[None]:
        """Compute with a network: nothing that other threads load takes its room until it is done.

        Nothing may be loaded inside.
        """
        me = threading.get_ident()
        with self._changed:
            self._users.append(me)
        try:
            yield
        finally:
            with self._changed:
                self._users.remove(me)
                self._changed.notify_all()

    @property
    def has_room_aside(self) -> bool:
        """Say whether two networks can compute at once: both need room beside their weights."""
        memory = self._memory
        return memory is None or memory.free_bytes() >= 2 * memory.reserve_bytes

    def outline(self, key: Hashable, make: Callable[[], M]) -> M:
        """Return a network without numbers, made once; only the last few are kept."""
        with self._lock:
            if key not in self._outlines:
                self._outlines[key] = make()
                while len(self._outlines) > OUTLINES_MAX:
                    self._outlines.popitem(last=False)
            return cast("M", self._outlines[key])

    def free(self) -> None:
        """Let go of everything; values that point here load again when used."""
        with self._lock:
            self._loaded.clear()
            self._sizes.clear()
        self._spare()
        _return_device_memory()

    def _placed(self, network: nn.Module, device: torch.device | None) -> Placed:
        size = size_bytes(network)
        self._make_room(size, device)
        if device is None:
            return Placed(network, size)
        return place(network, device, self._memory, self.bytes_max - self.bytes_used)

    def _make_room(self, size: int, device: torch.device | None) -> None:
        """Let go of the longest unused until there is room, or nothing is left to let go of.

        What another thread computes with would be let go of in name only: that is waited for.
        """
        if not self._has_room(size, device):
            self._spare()
            _return_device_memory()
        while self._loaded and not self._has_room(size, device):
            if set(self._users) - {threading.get_ident()}:
                self._changed.wait()
                continue
            del self._sizes[self._loaded.popitem(last=False)[0]]
            _return_device_memory()

    def _has_room(self, size: int, device: torch.device | None) -> bool:
        if self.bytes_used + size > self.bytes_max:
            return False
        if self._memory is None or device is None:
            return True
        return size + self._memory.reserve_bytes <= self._memory.free_bytes()


@dataclass(frozen=True)
class Resident(Generic[M_co]):
    """A pointer to a network that is loaded when asked for, and may be evicted in between.

    `blank` makes the same network without numbers, where that is cheaper than loading it.
    """

    cache: ModelCache
    key: Hashable
    load: Callable[[], M_co]
    device: torch.device | None = None
    blank: Callable[[], M_co] | None = None

    def get(self) -> M_co:
        """Return the network, loading it if need be."""
        return self.cache.get(self.key, self.load, self.device)

    @contextmanager
    def used(self) -> Iterator[M_co]:
        """Give the network to compute with; nothing else may be loaded inside."""
        network = self.get()
        with self.cache.using():
            yield network

    def outline(self) -> M_co:
        """Return a network with the names and sizes of this one, its numbers of no matter."""
        return self.get() if self.blank is None else self.cache.outline(self.key, self.blank)


def _unwatched(_part: str, load: Callable[[], M]) -> M:
    return load()


def _part(key: Hashable) -> str:
    """Return the part in a key that ends with part and device; other keys have no parts."""
    return str(key[-2]) if isinstance(key, tuple) and len(key) > 1 else ""


def _return_device_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
