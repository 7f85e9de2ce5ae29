"""Parts of a file, as players ask for them: `Range: bytes=0-99`."""

from __future__ import annotations

import re
from typing import Final

# Numbers beyond this many digits are no place in any file.
ONE_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def byte_range(header: str, size: int) -> range | None:
    """Return which bytes are asked for; empty for none that are there, None for the whole file.

    What is no range, or several of them, asks for the whole file.
    """
    found = ONE_RANGE.fullmatch(header.strip())
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        return range(max(0, size - int(found[2])), size)
    first = int(found[1])
    last = int(found[2]) if found[2] else size - 1
    if last < first:
        return range(0) if first >= size else None
    return range(first, min(last + 1, size))
