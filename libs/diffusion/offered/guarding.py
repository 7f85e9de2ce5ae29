"""What of torch a pack may not change while it is imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

SPACES: Final[tuple[Any, ...]] = (
    torch,
    torch.nn,
    torch.nn.functional,
    torch.nn.Module,
    torch.Tensor,
)


@contextmanager
def computing_kept() -> Iterator[None]:
    """Let a pack be imported; torch computes afterwards as it did before."""
    numbers, threads, learns = (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
    )
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_default_dtype(numbers)
        torch.set_default_device(None)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(learns)
        torch.set_rng_state(state)
