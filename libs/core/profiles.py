"""How a run may be computed: so that others can repeat its bytes, or as fast as it goes."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Profile: TypeAlias = Literal["exact", "fast"]
EXACT: Final = "exact"
FAST: Final = "fast"
PROFILES: Final = (EXACT, FAST)
