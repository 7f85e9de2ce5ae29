"""Literals brought to the type that an input declares, before any bound is looked at."""

from __future__ import annotations

from typing import Final

from libs.core.jsonvalue import Json
from libs.graph.literals import flaw

AS_WRITTEN: Final = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool, "COMBO": str}


def coerced(value: Json, input_type: str) -> Json:
    """Return the value as Python's own constructors make it; raise ValueError if they cannot.

    Clients rely on the odd corners: "5" is 5, 3.9 is 3 and the text "false" is true.
    """
    if type(value) is AS_WRITTEN.get(input_type):
        return value  # A parsed literal has no flaw, and there is nothing to convert.
    try:
        converted = _converted(value, input_type)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(str(error)) from error
    found = flaw(converted)
    if found:
        raise ValueError(f"the value {found}")
    return converted


def _converted(value: Json, input_type: str) -> Json:
    match input_type:
        case "INT":
            return int(value)  # type: ignore[arg-type]  # A wrong type is what is caught above.
        case "FLOAT":
            return float(value)  # type: ignore[arg-type]
        case "STRING":
            return str(value)
        case "BOOLEAN":
            return bool(value)
    return value
