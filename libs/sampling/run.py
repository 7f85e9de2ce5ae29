"""One course from noise to latent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from array_api_compat import array_namespace

from libs.sampling.course import Course, starts_from_pure_noise
from libs.sampling.levels import Array, Levels
from libs.sampling.masks import MaskAt
from libs.sampling.noise import NoiseSource
from libs.sampling.samplers import Denoise, Resize, Sampler, Trail

# Hears how many steps are done, of how many, and the picture seen.
OnSeen: TypeAlias = Callable[[int, int, Array], None]


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a course starts from: scaled latents where they will be computed, and the mask.

    The mask is 1 where the sampler may paint, in the latent's shape, or None for everywhere.
    `batch_index` says which places of a larger batch the latents are from; `mask_at` makes
    another mask of it at each level.
    """

    latent: Array
    mask: Array | None
    noise: NoiseSource
    batch_index: Sequence[int] | None = None
    resize: Resize | None = None
    mask_at: MaskAt | None = None


@dataclass(frozen=True, kw_only=True)
class Route:
    """A sampler, the levels it walks down, and the seed of its noise."""

    sampler: Sampler
    sigmas: Sequence[float]
    seed: int
    add_noise: bool = True


def walk(
    course: Course, start: Start, levels: Levels, guided: Denoise, on_seen: OnSeen
) -> Array | None:
    """Walk the course and return the latent at its end, None if there is nothing to walk."""
    route = Route(
        sampler=course.sampler_type(),
        sigmas=course.sigmas(levels),
        seed=course.seed,
        add_noise=course.add_noise,
    )
    return follow(route, start, levels, guided, on_seen)


def follow(
    route: Route, start: Start, levels: Levels, guided: Denoise, on_seen: OnSeen
) -> Array | None:
    """Walk a route and return the latent at its end, None if there is nothing to walk."""
    sigmas = route.sigmas
    if not sigmas:
        return None
    latent = start.latent
    noise = (
        start.noise.starting(latent, route.seed, start.batch_index)
        if route.add_noise
        else array_namespace(latent).zeros_like(latent)
    )
    denoise = guided
    if start.mask is not None:
        around = noise
        if route.sampler.redraws_mask_noise:
            around = start.noise.starting(latent, route.seed + 1)
        mask_at = _mask_at(start, start.mask, sigmas, levels)
        denoise = _Inside(denoise, mask_at, latent, around, levels)
    heard = _Heard(denoise, sigmas, on_seen)
    trail = Trail(
        denoise=heard,
        sigmas=sigmas,
        levels=levels,
        noise=start.noise,
        seed=route.seed,
        begin=heard.begin,
        resize=start.resize,
    )
    full = starts_from_pure_noise(levels, sigmas[0])
    end = route.sampler.walk(trail, levels.noised(latent, noise, sigmas[0], full=full))
    heard.finish()
    return levels.finished(end, sigmas[-1])


@dataclass(frozen=True, eq=False)
class _Inside:
    """Lets the kept part be seen as it should be at each level, and changes only the rest."""

    denoise: Denoise
    mask_at: Callable[[float], Array]
    kept: Array
    noise: Array
    levels: Levels

    def __call__(self, x: Array, sigma: float) -> Array:
        mask = self.mask_at(sigma)
        return self._outside_kept(self.denoise(self._placed(x, sigma, mask), sigma), mask)

    def both(self, x: Array, sigma: float) -> tuple[Array, Array]:
        mask = self.mask_at(sigma)
        seen, negative = self.denoise.both(self._placed(x, sigma, mask), sigma)
        return self._outside_kept(seen, mask), negative

    def _placed(self, x: Array, sigma: float, mask: Array) -> Array:
        around = self.levels.noised(self.kept, self.noise, sigma, full=False)
        return x * mask + around * (1 - mask)

    def _outside_kept(self, seen: Array, mask: Array) -> Array:
        return seen * mask + self.kept * (1 - mask)


def _mask_at(
    start: Start, mask: Array, sigmas: Sequence[float], levels: Levels
) -> Callable[[float], Array]:
    changed = start.mask_at
    if changed is None:
        return lambda _sigma: mask
    return lambda sigma: changed(mask, sigma, sigmas, levels)


class _Heard:
    """Reports the first look of each step; of a sampler with steps of its own, each level.

    Such a sampler tells of no steps: it has reached a level when it looks at or below it.
    """

    def __init__(self, denoise: Denoise, sigmas: Sequence[float], on_seen: OnSeen) -> None:
        self._denoise, self._sigmas, self._on_seen = denoise, sigmas, on_seen
        self._rises = sigmas[-1] > sigmas[0]
        self._begun: int | None = None
        self._done = 0
        self._last: Array | None = None

    def __call__(self, x: Array, sigma: float) -> Array:
        seen = self._denoise(x, sigma)
        self._hear(sigma, seen)
        return seen

    def both(self, x: Array, sigma: float) -> tuple[Array, Array]:
        seen, negative = self._denoise.both(x, sigma)
        self._hear(sigma, seen)
        return seen, negative

    def begin(self) -> None:
        """Hear that a step begins."""
        self._begun = 1 + (self._begun or 0)

    def finish(self) -> None:
        """Report the end, where a sampler does not look at the last level."""
        total = len(self._sigmas) - 1
        if self._last is not None and self._done < total:
            self._on_seen(total, total, self._last)

    def _hear(self, sigma: float, seen: Array) -> None:
        self._last = seen
        total = len(self._sigmas) - 1
        done = self._reached(sigma) if self._begun is None else self._begun
        if self._done < done <= total:
            self._done = done
            self._on_seen(done, total, seen)

    def _reached(self, sigma: float) -> int:
        levels = self._sigmas[:-1]
        return sum(sigma >= level if self._rises else sigma <= level for level in levels)
