"""One course from noise to latent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from array_api_compat import array_namespace

from libs.sampling.course import Course, starts_from_pure_noise
from libs.sampling.guidance import Seen
from libs.sampling.levels import Array, Levels
from libs.sampling.noise import NoiseSource
from libs.sampling.samplers import Denoise, Sampler, Trail

# Hears how many steps are done, of how many, and the picture seen.
OnSeen: TypeAlias = Callable[[int, int, Array], None]


class Guide(Protocol):
    """Denoises with guidance: `Guided`, or another that sees both sides."""

    @property
    def cfg(self) -> float:
        """How strongly the sides are pushed apart."""

    @property
    def mix(self) -> Callable[[Seen, float], Array]:
        """What makes one picture of both sides."""

    def __call__(self, x: Array, sigma: float) -> Array:
        """Return the picture seen."""

    def seen(self, x: Array, sigma: float, *, both: bool = False) -> Seen:
        """Return what is seen on both sides; the negative for certain if `both`."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a course starts from: scaled latents where they will be computed, and the mask.

    The mask is 1 where the sampler may paint, in the latent's shape, or None for everywhere.
    `batch_index` says which places of a larger batch the latents are from.
    """

    latent: Array
    mask: Array | None
    noise: NoiseSource
    batch_index: Sequence[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Route:
    """A sampler, the levels it walks down, and the seed of its noise."""

    sampler: Sampler
    sigmas: Sequence[float]
    seed: int
    add_noise: bool = True


def walk(
    course: Course, start: Start, levels: Levels, guided: Guide, on_seen: OnSeen
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
    route: Route, start: Start, levels: Levels, guided: Guide, on_seen: OnSeen
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
    denoise: Denoise = _Plain(guided)
    if start.mask is not None:
        around = noise
        if route.sampler.redraws_mask_noise:
            around = start.noise.starting(latent, route.seed + 1)
        denoise = _Inside(denoise, start.mask, latent, around, levels)
    heard = _Heard(denoise, sigmas, on_seen)
    trail = Trail(denoise=heard, sigmas=sigmas, levels=levels, noise=start.noise, seed=route.seed)
    full = starts_from_pure_noise(levels, sigmas[0])
    end = route.sampler.walk(trail, levels.noised(latent, noise, sigmas[0], full=full))
    heard.finish()
    return levels.finished(end, sigmas[-1])


@dataclass(frozen=True)
class _Plain:
    """The whole latent is denoised."""

    guided: Guide

    def __call__(self, x: Array, sigma: float) -> Array:
        return self.guided(x, sigma)

    def both(self, x: Array, sigma: float) -> tuple[Array, Array]:
        seen = self.guided.seen(x, sigma, both=True)
        return self.guided.mix(seen, self.guided.cfg), seen.negative


@dataclass(frozen=True, eq=False)
class _Inside:
    """Lets the kept part be seen as it should be at each level, and changes only the rest."""

    denoise: Denoise
    mask: Array
    kept: Array
    noise: Array
    levels: Levels

    def __call__(self, x: Array, sigma: float) -> Array:
        return self._outside_kept(self.denoise(self._placed(x, sigma), sigma))

    def both(self, x: Array, sigma: float) -> tuple[Array, Array]:
        seen, negative = self.denoise.both(self._placed(x, sigma), sigma)
        return self._outside_kept(seen), negative

    def _placed(self, x: Array, sigma: float) -> Array:
        around = self.levels.noised(self.kept, self.noise, sigma, full=False)
        return x * self.mask + around * (1 - self.mask)

    def _outside_kept(self, seen: Array) -> Array:
        return seen * self.mask + self.kept * (1 - self.mask)


class _Heard:
    """Reports each level of the course once, however often and where a sampler looks."""

    def __init__(self, denoise: Denoise, sigmas: Sequence[float], on_seen: OnSeen) -> None:
        self._denoise, self._sigmas, self._on_seen = denoise, sigmas, on_seen
        self._rises = sigmas[-1] > sigmas[0]
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

    def finish(self) -> None:
        """Report the end, where a sampler does not look at the last level."""
        total = len(self._sigmas) - 1
        if self._last is not None and self._done < total:
            self._on_seen(total, total, self._last)

    def _hear(self, sigma: float, seen: Array) -> None:
        self._last = seen
        total, done = len(self._sigmas) - 1, self._done
        while done < total and self._reached(sigma, self._sigmas[done]):
            done += 1
        if done > self._done:
            self._done = done
            self._on_seen(done, total, seen)

    def _reached(self, sigma: float, level: float) -> bool:
        return sigma >= level if self._rises else sigma <= level
