"""Guidance: what the network sees with the text, pushed away from what it sees with the other.

`Guided` is the `denoise` that samplers call. The whole of it is float32 but for the network
itself, whose output becomes float32 before anything is computed from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, TypeAlias

from array_api_compat import array_namespace, device

from libs.sampling.areas import clipped, placed, weights, with_control_of, with_twins
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.control import Call, Extras, Residuals, merged
from libs.sampling.levels import Array, Levels

# So that a place where no text counts divides zero by something.
NOTHING: Final = 1e-37

Network: TypeAlias = Callable[[Call], Array]
# Told by the entry, and whether it stands on the positive side.
ExtrasOf: TypeAlias = Callable[[Entry, bool], Extras]


@dataclass(frozen=True)
class Seen:
    """What the network sees in `x` at a level: with the text, and without where that was asked."""

    x: Array
    sigma: float
    positive: Array
    negative: Array | None


# Makes one picture of what was seen on both sides.
Mix: TypeAlias = Callable[[Seen, float], Array]


def linear(seen: Seen, cfg: float) -> Array:
    """Push the picture away from the other (Ho and Salimans 2022)."""
    if seen.negative is None:
        return seen.positive
    return seen.negative + (seen.positive - seen.negative) * cfg


@dataclass(frozen=True)
class Job:
    """An entry to evaluate, for the side (0 negative or the only one, then positive)."""

    side: int
    entry: Entry
    positive: bool


@dataclass(frozen=True, kw_only=True)
class Guided:
    """Denoises with guidance over lists of encoded texts.

    `repeats_text` lets texts of different lengths share an evaluation by repeating them to a
    common length, as UNets take them; other networks evaluate each length for itself.
    `spatial` names the extras that are cut with an area.
    """

    network: Network
    levels: Levels
    positive: Conditioning
    negative: Conditioning
    cfg: float
    extras_of: ExtrasOf
    mix: Mix = linear
    repeats_text: bool = True
    spatial: frozenset[str] = frozenset()
    both_sides: bool = False

    def __call__(self, x: Array, sigma: float) -> Array:
        """Return the picture seen in `x` at the noise level `sigma`."""
        return self.mix(self.seen(x, sigma), self.cfg)

    def both(self, x: Array, sigma: float) -> tuple[Array, Array]:
        """Return the picture seen, and what is seen without the text."""
        seen = self.seen(x, sigma, both=True)
        return self.mix(seen, self.cfg), seen.negative

    def seen(self, x: Array, sigma: float, *, both: bool = False) -> Seen:
        """Return what is seen on both sides; without guidance the negative only if asked."""
        if math.isclose(self.cfg, 1.0) and not (both or self.both_sides):
            return Seen(x, sigma, self.over(x, sigma, [self.positive])[0], None)
        without, with_text = self.over(x, sigma, [self.negative, self.positive])
        return Seen(x, sigma, with_text, without)

    def over(self, x: Array, sigma: float, sides: Sequence[Conditioning]) -> list[Array]:
        """Return what is seen on each of these sides; the last one is the positive."""
        lists = [self._placed(side, x) for side in sides]
        completed = []
        for at, entries in enumerate(lists):
            others = [entry for side in lists[:at] + lists[at + 1 :] for entry in side]
            completed.append(with_twins(entries, others))
        *others_led, positive = completed
        led = [with_control_of(entries, positive) for entries in others_led]
        return self._seen(x, sigma, [*led, positive])

    @cached_property
    def _known_places(self) -> dict[Hashable, tuple[Conditioning, list[Entry]]]:
        # The side is kept beside, so that the id in the key stays its own.
        return {}

    def _placed(self, side: Conditioning, x: Array) -> list[Entry]:
        """Return a side's entries where they count; the bounds of a mask are looked for once."""
        key = (id(side), tuple(x.shape[-2:]))
        if key not in self._known_places:
            self._known_places[key] = (side, [placed(entry, x) for entry in side.entries])
        return self._known_places[key][1]

    def _seen(self, x: Array, sigma: float, sides: Sequence[Sequence[Entry]]) -> list[Array]:
        xp = array_namespace(x)
        sums = [xp.zeros_like(x) for _ in sides]
        counts = [xp.zeros_like(x) + NOTHING for _ in sides]
        for jobs in self._batches(sigma, sides):
            rectangle = clipped(jobs[0].entry.area, x)
            if rectangle.is_empty:
                continue
            place = (
                ...,
                slice(rectangle.y, rectangle.y + rectangle.height),
                slice(rectangle.x, rectangle.x + rectangle.width),
            )
            outputs = self._evaluate(x[place], sigma, jobs, place)
            for job, output in zip(jobs, outputs, strict=True):
                weight = weights(rectangle, x, job.entry.strength, job.entry.mask)
                sums[job.side][place] += output * weight
                counts[job.side][place] += weight
        return [total / count for total, count in zip(sums, counts, strict=True)]

    def _batches(self, sigma: float, sides: Sequence[Sequence[Entry]]) -> list[list[Job]]:
        """Return the jobs, those that can share an evaluation together."""
        batches: dict[Hashable, list[Job]] = {}
        for side, entries in enumerate(sides):
            for entry in entries:
                if not self._counts(entry, sigma):
                    continue
                job = Job(side, entry, positive=side == len(sides) - 1)
                batches.setdefault(self._company(job), []).append(job)
        return list(batches.values())

    def _company(self, job: Job) -> Hashable:
        entry = job.entry
        extras = self._extras(job)
        shapes = tuple((name, tuple(extra.shape)) for name, extra in sorted(extras.items()))
        tokens = None if self.repeats_text else entry.context.shape[1]
        return entry.area, tuple(id(control) for control in entry.control), tokens, shapes

    def _counts(self, entry: Entry, sigma: float) -> bool:
        return self.levels.sigma_at(entry.end) <= sigma <= self.levels.sigma_at(entry.start)

    @cached_property
    def _known_extras(self) -> dict[Hashable, tuple[Entry, Extras]]:
        # The entry is kept beside, so that the ids in the key stay its own.
        return {}

    def _extras(self, job: Job) -> Extras:
        key = (id(job.entry.extras), id(job.entry.context), job.positive)
        if key not in self._known_extras:
            extras = self.extras_of(job.entry, job.positive)
            self._known_extras[key] = (job.entry, extras)
        return self._known_extras[key][1]

    def _evaluate(
        self, x: Array, sigma: float, jobs: Sequence[Job], place: tuple[object, ...]
    ) -> Sequence[Array]:
        """Evaluate all jobs over the same place in one batch."""
        xp = array_namespace(x)
        batch = x.shape[0]
        many = xp.concat([x] * len(jobs), axis=0)
        call = Call(
            x=self.levels.network_input(many, sigma),
            timestep=_filled(many, self.levels.timestep(sigma)),
            context=self._context(jobs, batch),
            extras=self._joined_extras(jobs, batch, place),
            sigma=sigma,
            latents=many,
            positive=tuple(job.positive for job in jobs),
        )
        residuals: Residuals = {}
        for control in jobs[0].entry.control:
            residuals = merged(residuals, control(call, self.levels))
        if residuals:
            call = replace(call, control=residuals)
        output = xp.astype(self.network(call), xp.float32)
        seen = self.levels.denoised(many, output, sigma)
        return [seen[at * batch : (at + 1) * batch] for at in range(len(jobs))]

    def _context(self, jobs: Sequence[Job], batch: int) -> Array:
        contexts = [job.entry.context for job in jobs]
        tokens = math.lcm(*(context.shape[1] for context in contexts))
        xp = array_namespace(contexts[0])
        # Repeated to a common length: padding with zeros would change what a text says.
        return xp.concat(
            [_to_batch(xp.tile(c, (1, tokens // c.shape[1], 1)), batch) for c in contexts], axis=0
        )

    def _joined_extras(
        self, jobs: Sequence[Job], batch: int, place: tuple[object, ...]
    ) -> Mapping[str, Array]:
        extras = [self._extras(job) for job in jobs]
        joined: dict[str, Array] = {}
        for name in extras[0]:
            values = [extra[name] for extra in extras]
            if name in self.spatial:
                values = [value[place] for value in values]
            xp = array_namespace(values[0])
            joined[name] = xp.concat([_to_batch(value, batch) for value in values], axis=0)
        return joined


def _filled(many: Array, value: float) -> Array:
    """Return one float32 per latent."""
    xp = array_namespace(many)
    return xp.full(len(many), value, dtype=xp.float32, device=device(many))


def _to_batch(value: Array, batch: int) -> Array:
    """Repeat one value per picture to the size of the batch."""
    xp = array_namespace(value)
    times = -(-batch // value.shape[0])
    return value if times == 1 and len(value) == batch else xp.concat([value] * times)[:batch]
