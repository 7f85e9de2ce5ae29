"""Guidance that differs from frame to frame: what is close to the first picture needs little."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from array_api_compat import array_namespace, device

from libs.sampling.guidance import Mix, Seen
from libs.sampling.levels import Array

Course: TypeAlias = Literal["rising", "triangle"]

# A latent of pictures has its frames as its batch, a latent of videos has a side for them.
FRAMES_OF_PICTURES: Final = 0
FRAMES_OF_VIDEOS: Final = 2
VIDEO_SIDES: Final = 5


def by_frame(course: Course, lowest: float) -> Mix:
    """Return guidance that goes from `lowest` in the first frame to the whole in the last.

    "triangle" reaches the whole in the middle and comes back.
    """

    def mix(seen: Seen, cfg: float) -> Array:
        if seen.negative is None:
            return seen.positive
        scale = _scale(seen.positive, course, lowest, cfg)
        return seen.negative + (seen.positive - seen.negative) * scale

    return mix


def _scale(like: Array, course: Course, lowest: float, cfg: float) -> Array:
    xp = array_namespace(like)
    side = FRAMES_OF_VIDEOS if like.ndim == VIDEO_SIDES else FRAMES_OF_PICTURES
    shape = tuple(size if at == side else 1 for at, size in enumerate(like.shape))
    count, where = like.shape[side], device(like)
    if course == "rising":
        return xp.reshape(xp.linspace(lowest, cfg, count, dtype=like.dtype, device=where), shape)
    part = xp.linspace(0, 1, count, dtype=like.dtype, device=where)
    height = 2 * xp.abs(part - xp.floor(part + 0.5))
    return xp.reshape(height * (cfg - lowest) + lowest, shape)
