"""From the data of an old major version to the newest, one pure step at a time.

Stored bytes are never rewritten; an old event is lifted each time it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from libs.core.jsonvalue import JsonObject

Upcast = Callable[[JsonObject], JsonObject]

UPCASTS: Final[Mapping[tuple[str, int], Upcast]] = {}


def upcast(
    name: str,
    major: int,
    data: JsonObject,
    steps: Mapping[tuple[str, int], Upcast] = UPCASTS,
) -> JsonObject:
    """Return `data` of event `name` lifted from `major` as far as there are steps."""
    while (step := steps.get((name, major))) is not None:
        data, major = step(data), major + 1
    return data
