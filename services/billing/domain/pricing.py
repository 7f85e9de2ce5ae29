"""What a prompt costs, in whole micro-dollars, known before it runs.

The seed's own figure is $0.0002 to $0.0005 for an SDXL picture of one megapixel and 30 steps on a
machine of one's own (R036); the rate below puts such a picture at $0.0004.
"""

from __future__ import annotations

import math
from typing import Final

from libs.core.money import MicroDollars
from libs.events.verdict import WorkEstimate

PRICE_VERSION: Final = "2026-11"
MICROS_PER_IMAGE: Final = 20
MICROS_PER_MEGAPIXEL_STEP: Final = 12


def price(work: WorkEstimate) -> MicroDollars:
    """Return the price of `work`; every prompt costs at least one picture's base price."""
    steps = math.ceil(work.megapixel_steps * MICROS_PER_MEGAPIXEL_STEP)
    return MicroDollars(max(1, work.images) * MICROS_PER_IMAGE + steps)
