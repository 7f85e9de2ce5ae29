"""GUIDER: a model with the texts that lead it, ready to walk any row of levels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

from libs.sampling.conditioning import Conditioning
from libs.sampling.course import Course
from libs.sampling.guidance import Guided
from libs.sampling.guiders import Dual, PerpNeg
from libs.sampling.levels import Array, Levels
from libs.sampling.noise import Seeded
from libs.sampling.run import OnSeen, Route, Start, follow, walk
from libs.sampling.samplers import Denoise, Sampler
from libs.sampling.sigmas import Row

OnStep: TypeAlias = Callable[..., None]
Latent: TypeAlias = Any
# Makes a denoiser out of guidance over two texts, and of a third text.
Through: TypeAlias = Callable[[Guided, Conditioning], Denoise]


class Led(Protocol):
    """A model of any engine, as a guider leads it."""

    @property
    def levels(self) -> Levels:
        """The noise levels that it knows."""

    @property
    def draw_preview(self) -> Callable[[Array], bytes] | None:
        """What draws a picture that is seen; None where the engine draws none."""

    def start(self, latent: Latent) -> Start:
        """Return a wire latent as a course starts from it."""

    def ended(self, end: Array, began: Latent) -> Latent:
        """Return the end of a course as a wire latent."""

    def in_cells(self, conditioning: Conditioning, latent: Array) -> Conditioning:
        """Return texts with their masks in the cells of a latent."""

    def guided(
        self,
        latent: Array,
        positive: Conditioning,
        negative: Conditioning,
        cfg: float,
        mask: Array | None = None,
    ) -> AbstractContextManager[Guided]:
        """Lend a denoiser."""


@dataclass(frozen=True, kw_only=True)
class Guider:
    """Guidance towards the positive and away from the negative, or over a third text as well."""

    model: Led
    positive: Conditioning
    negative: Conditioning
    cfg: float
    third: Conditioning | None = None
    through: Through | None = None

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        sides = (self.positive, self.negative, self.third)
        return sum(side.size_bytes for side in sides if side is not None)

    def sample(
        self, latent: Latent, *, noise: Seeded, sampler: Sampler, sigmas: Row, on_step: OnStep
    ) -> tuple[Latent, Latent]:
        """Walk the levels; return the latent at their end, and the picture seen last."""
        model, start = self.model, self.model.start(latent)
        route = Route(sampler=sampler, sigmas=sigmas.levels, seed=noise.seed, add_noise=noise.drawn)
        heard = _drawing(on_step, model.draw_preview)
        last: Array | None = None

        def on_seen(done: int, total: int, seen: Array) -> None:
            nonlocal last
            last = seen
            heard(done, total, seen)

        sides = self.positive, self.negative, self.cfg
        with model.guided(start.latent, *sides, start.mask) as guided:
            denoise = self._denoise(guided, start.latent)
            end = follow(route, start, model.levels, denoise, on_seen)
        if end is None:
            return latent, latent
        ended = model.ended(end, latent)
        return ended, ended if last is None else model.ended(last, latent)

    def _denoise(self, guided: Guided, latent: Array) -> Denoise:
        if self.through is None or self.third is None:
            return guided
        return self.through(guided, self.model.in_cells(self.third, latent))


def _drawing(on_step: OnStep, draw: Callable[[Array], bytes] | None) -> OnSeen:
    """Report each step with what draws the picture seen, where the engine draws one."""

    def on_seen(done: int, total: int, seen: Array) -> None:
        on_step(done, total, None if draw is None else partial(draw, seen))

    return on_seen


class Leading:
    """How a model of any engine is walked: by a sampler node's two texts, or led otherwise."""

    def sample(  # noqa: PLR0913  These are the inputs of a sampler node.
        self: Led,
        latent: Latent,
        *,
        positive: Conditioning,
        negative: Conditioning,
        seed: int,
        steps: int,
        cfg: float,
        sampler: str,
        scheduler: str,
        denoise: float = 1.0,
        add_noise: bool = True,
        first_step: int = 0,
        last_step: int = 10_000,
        keep_noise: bool = False,
        on_step: OnStep,
    ) -> Latent:
        """Denoise towards the positive and away from the negative."""
        course = Course(
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            scheduler=scheduler,
            denoise=denoise,
            add_noise=add_noise,
            first_step=first_step,
            last_step=last_step,
            keep_noise=keep_noise,
        )
        start = self.start(latent)
        on_seen = _drawing(on_step, self.draw_preview)
        with self.guided(start.latent, positive, negative, cfg, start.mask) as guided:
            end = walk(course, start, self.levels, guided, on_seen)
        return latent if end is None else self.ended(end, latent)

    def guider(
        self: Led, positive: Conditioning, negative: Conditioning | None = None, cfg: float = 1.0
    ) -> Guider:
        """Return it led by one text, or by two that are pushed apart."""
        other = Conditioning(()) if negative is None else negative
        return Guider(model=self, positive=positive, negative=other, cfg=cfg)

    def dual_guider(
        self: Led,
        positive: Conditioning,
        middle: Conditioning,
        negative: Conditioning,
        cfg: float,
        cfg_middle: float,
        *,
        nested: bool,
    ) -> Guider:
        """Return it led from a negative to a middle text, and from there to the positive."""

        def through(guided: Guided, third: Conditioning) -> Denoise:
            return Dual(guided=guided, middle=third, cfg=cfg, cfg_middle=cfg_middle, nested=nested)

        sides = {"positive": positive, "negative": negative, "third": middle}
        return Guider(model=self, cfg=cfg, through=through, **sides)

    def perp_neg_guider(
        self: Led,
        positive: Conditioning,
        negative: Conditioning,
        empty: Conditioning,
        cfg: float,
        neg_scale: float,
    ) -> Guider:
        """Return it pushed away from what of the negative is not along the positive."""

        def through(guided: Guided, third: Conditioning) -> Denoise:
            return PerpNeg(guided=guided, empty=third, neg_scale=neg_scale)

        sides = {"positive": positive, "negative": negative, "third": empty}
        return Guider(model=self, cfg=cfg, through=through, **sides)

    def noised(self: Led, latent: Latent, noise: Seeded, sigmas: Row) -> Latent:
        """Return a latent under as much noise as a walk over the levels takes away."""
        levels = sigmas.levels
        if not levels:
            return latent
        start = self.start(latent)
        sigma = abs(levels[0] - levels[-1]) if len(levels) > 1 else levels[0]
        drawn = start.latent * 0
        if noise.drawn:
            drawn = start.noise.starting(start.latent, noise.seed, start.batch_index)
        under = self.levels.noised(start.latent, drawn, sigma, full=False)
        return self.ended(under, latent)
