"""Guidance over three texts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from array_api_compat import array_namespace

from libs.sampling.conditioning import Conditioning
from libs.sampling.guidance import Guided, Seen
from libs.sampling.levels import Array


@dataclass(frozen=True, kw_only=True)
class Dual:
    """Pushes from a negative to a middle text, and from there to the positive.

    `cfg` is how strongly from the middle to the positive, `cfg_middle` how strongly to the
    middle. Nested, the picture of both upper texts is pushed away from the negative as a whole.
    """

    guided: Guided
    middle: Conditioning
    cfg: float
    cfg_middle: float
    nested: bool = False

    def __call__(self, x: Array, sigma: float) -> Array:
        """Return the picture seen."""
        if math.isclose(self.cfg_middle, 1.0) and not self.nested:
            return self._without_negative(x, sigma)
        return self.both(x, sigma)[0]

    def both(self, x: Array, sigma: float) -> tuple[Array, Array]:
        """Return the picture seen, and what the guidance pushed away from."""
        guided = self.guided
        lists = [guided.negative, self.middle, guided.positive]
        negative, middle, positive = guided.over(x, sigma, lists)
        if self.nested:
            upper = guided.mix(Seen(x, sigma, positive, middle), self.cfg)
            return negative + (upper - negative) * self.cfg_middle, middle
        lower = guided.mix(Seen(x, sigma, middle, negative), self.cfg_middle)
        return lower + (positive - middle) * self.cfg, negative

    def _without_negative(self, x: Array, sigma: float) -> Array:
        guided = replace(self.guided, negative=self.middle, cfg=self.cfg)
        seen = guided.seen(x, sigma)
        return seen.positive if seen.negative is None else self._pushed(seen)

    def _pushed(self, seen: Seen) -> Array:
        return seen.negative + (seen.positive - seen.negative) * self.cfg


@dataclass(frozen=True, kw_only=True)
class PerpNeg:
    """Pushes away from what of the negative is not along the positive (Armandpour et al. 2023).

    Both count by how they differ from an empty text.
    """

    guided: Guided
    empty: Conditioning
    neg_scale: float

    def __call__(self, x: Array, sigma: float) -> Array:
        """Return the picture seen."""
        return self.both(x, sigma)[0]

    def both(self, x: Array, sigma: float) -> tuple[Array, Array]:
        """Return the picture seen, and what is seen without any text."""
        guided = self.guided
        lists = [self.empty, guided.negative, guided.positive]
        empty, negative, positive = guided.over(x, sigma, lists)
        xp = array_namespace(x)
        towards, away = positive - empty, negative - empty
        along = towards * (xp.sum(away * towards) / xp.sum(towards * towards))
        pushed = towards - (away - along) * self.neg_scale
        return empty + pushed * guided.cfg, empty
