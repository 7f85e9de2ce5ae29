"""What of a latent may be painted at each level, where a mask is more than yes or no."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from array_api_compat import array_namespace

from libs.sampling.levels import Array, Levels, sigma_min

# Told the mask, the level, all levels of the course, and what they mean to the model.
MaskAt: TypeAlias = Callable[[Array, float, Sequence[float], Levels], Array]


def differential(strength: float = 1.0) -> MaskAt:
    """Return a mask that opens as the course goes on (Levin and Fried 2023).

    The whiter a place, the earlier it may be painted. Below a strength of 1 some of the plain
    mask is mixed in.
    """

    def mask_at(mask: Array, sigma: float, sigmas: Sequence[float], levels: Levels) -> Array:
        first = levels.timestep(sigmas[0])
        last = levels.timestep(max(sigmas[-1], sigma_min(levels)))
        threshold = (levels.timestep(sigma) - last) / (first - last) if first != last else 0.0
        opened = array_namespace(mask).astype(mask >= threshold, mask.dtype)
        return opened if strength >= 1.0 else opened * strength + mask * (1.0 - strength)

    return mask_at
