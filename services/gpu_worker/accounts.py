"""Accounts of what went wrong, as the agent seals and clients read them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final, cast

from libs.core.errors import NotFound, Refused, StudioError
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.refusal import GraphRefused
from services.gpu_worker.failing import NodeFailed
from services.gpu_worker.planning import JudgedWrong, first_wrong

# Events list nodes, and must stay well below what the bus takes.
EXPANDED_IDS_BYTES_MAX: Final = 32_768


def told(message: str, traceback: Iterable[str] = ()) -> JsonObject:
    """Return an account in words alone."""
    lines: list[Json] = list(traceback)
    return {"exception_message": message, "traceback": lines, "current_inputs": {}}


def bounded(executed: Iterable[str], expanded: Container[str]) -> list[Json]:
    """Return executed nodes; of those that expansions made as many as an event holds."""
    kept: list[Json] = []
    left = EXPANDED_IDS_BYTES_MAX
    for node_id in executed:
        if node_id in expanded:
            left -= len(node_id.encode())
            if left < 0:
                continue
        kept.append(node_id)
    return kept


def stopped_at(facts: dict[str, object]) -> JsonObject:
    """Return where an execution was stopped."""
    return {
        "node_id": str(facts.get("node_id", "")),
        "node_type": str(facts.get("node_type", "")),
    }


def failure(failed: NodeFailed) -> JsonObject:
    """Return the failure of a node."""
    return {
        "node_id": failed.node_id,
        "node_type": failed.node_type,
        "exception_type": failed.exception_type,
        "detail": {
            **told(failed.exception_message, failed.traceback),
            "current_inputs": failed.current_inputs,
            "current_outputs": list(failed.current_outputs),
        },
    }


def refusal(error: Exception) -> JsonObject:
    """Return the failure of a graph that this worker cannot begin with, though it was valid."""
    if isinstance(error, JudgedWrong):
        return _wrong(error)
    detail = told(error.message if isinstance(error, StudioError) else str(error))
    if isinstance(error, GraphRefused):
        detail["node_errors"] = error.node_errors
    return {
        "node_id": "",
        "node_type": "",
        "exception_type": type(error).__name__,
        "detail": detail,
        # Another worker may hold what is missing here.
        "retryable": isinstance(error, Refused | NotFound),
    }


def _wrong(error: JudgedWrong) -> JsonObject:
    node_id, node_type, said = first_wrong(error.node_errors)
    return {
        "node_id": node_id,
        "node_type": node_type,
        "exception_type": error.code,
        "detail": {
            **told(said),
            "error": cast("Json", error.error),
            "node_errors": error.node_errors,
        },
    }
