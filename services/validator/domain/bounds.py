"""How much of what is wrong is said: enough to mend it, and never more than an answer can hold."""

from __future__ import annotations

import json
from typing import Final

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.refusal import GraphRefused, problem
from libs.graph.value import Graph

FAULTS_MAX: Final = 100
FAULTS_BYTES_MAX: Final = 131_072
DETAILS_CHARACTERS_MAX: Final = 8_192
DEPENDENTS_MAX: Final = 100
# Events name nodes in lists, and an event must stay well below what the bus takes.
NODE_IDS_BYTES_MAX: Final = 32_768


def require_short_ids(graph: Graph) -> None:
    """Raise GraphRefused when the node ids are too long to be named in one event."""
    size = sum(len(node_id.encode()) for node_id in graph.nodes)
    if size <= NODE_IDS_BYTES_MAX:
        return
    raise GraphRefused(
        problem(
            "node_ids_too_long",
            f"The node ids have {size} bytes together; at most {NODE_IDS_BYTES_MAX} are allowed",
            "",
            field="nodes",
            limit=NODE_IDS_BYTES_MAX,
            received_value=size,
        )
    )


def bounded_error(error: JsonObject, faults: int, shown: int) -> JsonObject:
    """Return the error with as many details as fit; it counts the faults when some are left out."""
    details = str(error.get("details", ""))
    short = details
    if len(details) > DETAILS_CHARACTERS_MAX:
        # Whole lines, for half of one helps nobody; but one line may itself be too long.
        cut = details[:DETAILS_CHARACTERS_MAX]
        short = (cut.rpartition("\n")[0] or cut) + "\n... and more"
    if short == details and shown == faults:
        return error
    extra_info = error.get("extra_info")
    known = extra_info if isinstance(extra_info, dict) else {}
    counted: JsonObject = {**known, "faults": faults, "faults_shown": shown}
    return {**error, "details": short, "extra_info": counted}


def bounded_node_errors(node_errors: JsonObject) -> tuple[JsonObject, int, int]:
    """Return the first faults, at least one, how many there are, and how many are shown."""
    kept: JsonObject = {}
    faults = shown = size = 0
    for node_id, entry in node_errors.items():
        if not isinstance(entry, dict):
            continue
        found = entry.get("errors")
        listed: list[Json] = found if isinstance(found, list) else []
        faults += len(listed)
        fitting: list[Json] = []
        for fault in listed:
            size += len(json.dumps(fault))
            if shown and (shown >= FAULTS_MAX or size > FAULTS_BYTES_MAX):
                break
            fitting.append(fault)
            shown += 1
        if fitting:
            kept[node_id] = {**entry, "errors": fitting, **_dependents(entry)}
    return kept, faults, shown


def _dependents(entry: JsonObject) -> JsonObject:
    outputs = entry.get("dependent_outputs")
    listed: list[Json] = outputs if isinstance(outputs, list) else []
    return {"dependent_outputs": listed[:DEPENDENTS_MAX]}
