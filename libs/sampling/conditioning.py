"""CONDITIONING: encoded texts and pictures, each with where and when it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from array_api_compat import array_namespace

from libs.sampling.control import Control
from libs.sampling.levels import Array

PIXELS_PER_CELL: Final = 8


@dataclass(frozen=True)
class Area:
    """A rectangle of a latent, in cells of eight pixels."""

    height: int
    width: int
    y: int
    x: int

    @property
    def size(self) -> int:
        """In cells."""
        return self.height * self.width

    @property
    def is_empty(self) -> bool:
        """Say whether no cell lies in it, as in one cut to a latent that it lies beside."""
        return self.height <= 0 or self.width <= 0

    def encloses(self, other: Area) -> bool:
        """Say whether `other` lies in this rectangle."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and self.x + self.width >= other.x + other.width
            and self.y + self.height >= other.y + other.height
        )


@dataclass(frozen=True)
class Share:
    """A part of the picture's sides, 0 to 1, that becomes an `Area` once the size is known."""

    height: float
    width: float
    y: float
    x: float


@dataclass(frozen=True, eq=False)
class Painted:
    """A mask [count, height, width] that says how much an entry counts in each place.

    `bounded` evaluates the entry in the smallest rectangle around the mask alone.
    """

    values: Array
    strength: float = 1.0
    bounded: bool = False


class Marks(Protocol):
    """A mask as it runs along wires."""

    @property
    def values(self) -> Array:
        """[count, height, width], 0 to 1."""


class Cells(Protocol):
    """Latents as they run along wires."""

    @property
    def samples(self) -> Array:
        """[count, channels, rows, columns]."""


@dataclass(frozen=True, eq=False)
class Hole:
    """A picture that is repainted: latents of what lies around, and what to paint, in pixels.

    Without a mask the picture is followed everywhere, as a drawing is.
    """

    around: Array
    mask: Array | None = None


@dataclass(frozen=True, eq=False)
class Entry:
    """One encoded text: [1, tokens, width], and the summary [1, width] that SDXL wants.

    `start` and `end` are parts of the course, 0 the noise and 1 the picture. `extras` is what
    some architectures look for beside the text, under a name of theirs. `control_both` leads
    the other side as well, if it is led by nothing itself.
    """

    context: Array
    pooled: Array | None = None
    area: Area | Share | None = None
    mask: Painted | None = None
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    control: tuple[Control, ...] = ()
    control_both: bool = False
    extras: Mapping[str, Any] = field(default_factory=dict)

    def with_extras(self, **extras: object) -> Entry:
        """Return it with more beside the text."""
        return replace(self, extras={**self.extras, **extras})


@dataclass(frozen=True)
class Conditioning:
    """Encoded texts side by side."""

    entries: tuple[Entry, ...]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return sum(
            entry.context.nbytes + (entry.pooled.nbytes if entry.pooled is not None else 0)
            for entry in self.entries
        )

    def each(self, change: Callable[[Entry], Entry]) -> Conditioning:
        """Return it with every entry changed."""
        return Conditioning(tuple(change(entry) for entry in self.entries))

    def combined(self, other: Conditioning) -> Conditioning:
        """Return both side by side."""
        return Conditioning(self.entries + other.entries)

    def joined(self, other: Conditioning) -> Conditioning:
        """Return each text with the other's first text behind it."""
        tail = other.entries[0].context
        xp = array_namespace(tail)
        return self.each(
            lambda entry: replace(entry, context=xp.concat([entry.context, tail], axis=1))
        )

    def averaged(self, other: Conditioning, weight: float) -> Conditioning:
        """Return each text blended with the other's first, `weight` of its own."""
        second = other.entries[0]
        return self.each(lambda entry: _blend(entry, second, weight))

    def within(self, *, width: int, height: int, x: int, y: int, strength: float) -> Conditioning:
        """Return it bound to a rectangle, in pixels."""
        area = Area(*(side // PIXELS_PER_CELL for side in (height, width, y, x)))
        return self.each(lambda entry: replace(entry, area=area, strength=strength))

    def within_share(
        self, *, width: float, height: float, x: float, y: float, strength: float
    ) -> Conditioning:
        """Return it bound to a rectangle, in parts of the picture's sides."""
        share = Share(height, width, y, x)
        return self.each(lambda entry: replace(entry, area=share, strength=strength))

    def weighing(self, strength: float) -> Conditioning:
        """Return it with another weight among texts that share a place."""
        return self.each(lambda entry: replace(entry, strength=strength))

    def painted(self, mask: Marks, strength: float, *, bounded: bool) -> Conditioning:
        """Return it bound to what a mask marks, or to the rectangle around that."""
        painted = Painted(mask.values, strength, bounded)
        return self.each(lambda entry: replace(entry, mask=painted))

    def around(self, latent: Cells, mask: Marks | None = None) -> Conditioning:
        """Return it with the picture beside it that is repainted inside the mask, or followed."""
        return self.with_extras(inpaint=Hole(latent.samples, mask.values if mask else None))

    def with_extras(self, **extras: object) -> Conditioning:
        """Return it with more beside each text."""
        return self.each(lambda entry: entry.with_extras(**extras))

    def zeroed(self) -> Conditioning:
        """Return it with all numbers of all texts at zero: no text at all, not the empty one."""
        return self.each(_zeroed)

    def during(self, start: float, end: float) -> Conditioning:
        """Return it bound to a part of the steps, 0 to 1."""
        return self.each(lambda entry: replace(entry, start=start, end=end))


def _zeroed(entry: Entry) -> Entry:
    xp = array_namespace(entry.context)
    pooled = None if entry.pooled is None else xp.zeros_like(entry.pooled)
    return replace(entry, context=xp.zeros_like(entry.context), pooled=pooled)


def _blend(entry: Entry, other: Entry, weight: float) -> Entry:
    xp = array_namespace(entry.context)
    tokens = entry.context.shape[1]
    fitting = other.context[:, :tokens]
    if fitting.shape[1] < tokens:
        shape = (1, tokens - fitting.shape[1], fitting.shape[2])
        fitting = xp.concat([fitting, xp.zeros(shape, dtype=fitting.dtype)], axis=1)
    context = entry.context * weight + fitting * (1.0 - weight)
    pooled = entry.pooled if other.pooled is None else other.pooled
    if entry.pooled is not None and other.pooled is not None:
        pooled = entry.pooled * weight + other.pooled * (1.0 - weight)
    return replace(entry, context=context, pooled=pooled)
