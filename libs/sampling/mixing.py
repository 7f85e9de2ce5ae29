"""Ways to make one picture of what is seen with the text and without, other than the straight one."""

from __future__ import annotations

from array_api_compat import array_namespace

from libs.sampling.guidance import Mix, Seen
from libs.sampling.levels import Array


def rescaled(multiplier: float) -> Mix:
    """Return guidance that keeps the contrast of what is seen with the text (Lin et al. 2024).

    It is computed on velocities; `multiplier` blends it with the straight one.
    """

    def mix(seen: Seen, cfg: float) -> Array:
        if seen.negative is None:
            return seen.positive
        xp = array_namespace(seen.x)
        sides = tuple(range(1, seen.x.ndim))
        total = seen.sigma**2 + 1.0
        rest, scale = seen.x / total, total**0.5 / seen.sigma
        wanted = (rest - _as_noise(seen, seen.positive)) * scale
        other = (rest - _as_noise(seen, seen.negative)) * scale
        pushed = other + (wanted - other) * cfg
        spread = xp.std(wanted, axis=sides, correction=1, keepdims=True)
        spread_pushed = xp.std(pushed, axis=sides, correction=1, keepdims=True)
        kept = pushed * (spread / spread_pushed)
        velocity = kept * multiplier + pushed * (1.0 - multiplier)
        return _as_noise(seen, rest - velocity / scale)

    return mix


def _as_noise(seen: Seen, picture: Array) -> Array:
    """Return a picture as it is after it was kept as the noise around it.

    That is how ComfyUI hands it on; at levels of thousands the rounding shows.
    """
    return seen.x - (seen.x - picture)
