"""A picture that is handed on before it is made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

from libs.diffusion.picture import Picture

# Held by whoever computes beside the samplers: one at a time, since each needs memory.
ASIDE: Final = threading.Lock()


class Aside:
    """A place beside the samplers for work whose inputs are ready now.

    On a GPU that is a stream of its own; on the samplers' stream it would stand in line behind
    steps that were asked for long before they are taken.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        on_gpu = device.type == "cuda"
        self._ready = torch.cuda.current_stream(device).record_event() if on_gpu else None

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute here; what is made must be on the host when the block is left."""
        with ASIDE:
            if self._ready is None:
                yield
                return
            stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            stream.wait_event(self._ready)
            with torch.cuda.stream(stream):
                yield


class PendingPicture(Picture):
    """IMAGE: made once, by whoever wants to see it first; all others wait for that.

    So nobody waits for a thread that may never come to it. What fails, fails for all in the same
    way.
    """

    def __init__(self, make: Callable[[], Tensor]) -> None:
        object.__setattr__(self, "_state", _State(make))

    @property
    def pixels(self) -> Tensor:
        """The pictures, made now if nobody has wanted them yet."""
        state: _State = self.__dict__["_state"]
        return state.made()

    def settle(self) -> None:
        """Make it, unless that was done."""
        self.pixels  # noqa: B018  To look is to make.


class _State:
    def __init__(self, make: Callable[[], Tensor]) -> None:
        self._make: Callable[[], Tensor] | None = make
        self._made: Tensor | None = None
        self._failure: Exception | None = None
        self._lock = threading.Lock()

    def made(self) -> Tensor:
        with self._lock:
            if self._make is not None:
                make, self._make = self._make, None
                try:
                    self._made = make()
                except Exception as error:
                    self._failure = error
            if self._made is None:
                raise self._failure or RuntimeError("a picture was interrupted while it was made")
            return self._made
