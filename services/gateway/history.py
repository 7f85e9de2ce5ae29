"""Finished prompts as entries of the history, in either dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.core.jsonvalue import Json, JsonObject
from libs.core.money import MICROS_PER_DOLLAR, credits_of
from libs.events.envelope import rfc3339
from libs.events.execution import failed_at
from libs.graph.schema import Catalogue
from libs.sealed.base import Vault
from libs.store.readmodels.prompts import Message, PromptRow
from services.gateway.archive import Finished
from services.gateway.domain.ending import EXPIRED, LOST, blocked_message, in_full
from services.gateway.domain.frames import UI_KEYS
from services.gateway.workflows import Workflow, extra_of, in_dialect, opened, opened_objects


@dataclass(frozen=True)
class Entry:
    """A finished prompt with everything of it that had to be unsealed."""

    row: PromptRow
    workflow: Workflow
    outputs: JsonObject
    failure: JsonObject


async def entries(vault: Vault, tenant: str, found: Sequence[Finished]) -> list[Entry]:
    """Unseal what the entries of a history page need."""
    workflows = await opened(vault, tenant, [finished.row.workflow for finished in found])
    shown_by = [(place, node) for place, one in enumerate(found) for node in one.row.node_ui]
    sealed = [found[place].row.node_ui[node] for place, node in shown_by]
    nodes: list[dict[str, JsonObject]] = [{} for _ in found]
    for (place, node), value in zip(
        shown_by, await opened_objects(vault, tenant, sealed), strict=True
    ):
        nodes[place][node] = value
    outputs = [_with_files(shown, one) for shown, one in zip(nodes, found, strict=True)]
    failures = await opened_objects(vault, tenant, [one.row.failure for one in found])
    return [
        Entry(finished.row, workflow, shown, failure)
        for finished, workflow, shown, failure in zip(
            found, workflows, outputs, failures, strict=True
        )
    ]


async def errors_of(vault: Vault, tenant: str, rows: Sequence[PromptRow]) -> dict[str, JsonObject]:
    """Return by prompt what was told of each that failed: the facts of its `execution_error`."""
    failures = await opened_objects(vault, tenant, [row.failure for row in rows])
    told: dict[str, JsonObject] = {}
    for row, failure in zip(rows, failures, strict=True):
        entry = Entry(row, Workflow(), {}, failure)
        ends = [message for message in row.messages if message.event == "execution_error"]
        if ends:
            told[row.prompt_id] = _facts(ends[-1], entry)
    return told


async def outputs_of(vault: Vault, tenant: str, finished: Finished) -> JsonObject:
    """Return what each output node shows: its released files, and the rest of its ui."""
    row = finished.row
    opened_nodes = await opened_objects(vault, tenant, list(row.node_ui.values()))
    return _with_files(dict(zip(row.node_ui, opened_nodes, strict=True)), finished)


def _with_files(nodes: dict[str, JsonObject], finished: Finished) -> JsonObject:
    for output in finished.outputs:
        files = nodes.setdefault(output.node_id, {}).setdefault(
            UI_KEYS.get(output.kind, output.kind), []
        )
        if isinstance(files, list):
            file: JsonObject = {
                "filename": output.filename,
                "subfolder": output.subfolder,
                "type": output.folder,
            }
            files.append(file)
    return {node_id: shown for node_id, shown in nodes.items() if shown}


def comfy_entry(entry: Entry, catalogue: Catalogue) -> JsonObject:
    """Return an entry as clients of ComfyUI read it."""
    row = entry.row
    messages: list[Json] = [[message.event, _facts(message, entry)] for message in row.messages]
    return {
        "prompt": [
            row.number or 0,
            row.prompt_id,
            in_dialect(entry.workflow.prompt, "comfyui", catalogue),
            extra_of(entry.workflow, row.client_id),
            list(row.output_nodes),
        ],
        "outputs": entry.outputs,
        "status": {
            "status_str": row.status_str,
            "completed": row.completed,
            "messages": messages,
        },
        "meta": {node_id: _place(node_id, row) for node_id in entry.outputs},
    }


def _place(node_id: str, row: PromptRow) -> JsonObject:
    display, parent, real = row.places.get(node_id, (node_id, "", node_id))
    return {
        "node_id": node_id,
        "display_node": display,
        "parent_node": parent or None,
        "real_node_id": real,
    }


def hip_entry(entry: Entry, catalogue: Catalogue) -> JsonObject:
    """Return an entry as HIP-35 describes it, with what the prompt cost."""
    row = entry.row
    messages: list[Json] = [
        [rfc3339(message.at), _sentence(message, entry)] for message in row.messages
    ]
    return {
        "prompt": in_dialect(entry.workflow.prompt, "hip35", catalogue),
        "outputs": entry.outputs,
        "status": {
            "status_str": row.status_str,
            "completed": row.completed,
            "messages": messages,
        },
        "usage": usage(row),
        "outcome": row.outcome,
        "extra_data": entry.workflow.extra_data,
        "submitted": rfc3339(row.submitted_at),
        "ended": rfc3339(row.ended_at) if row.ended_at else None,
        "seq": row.number,
    }


def usage(row: PromptRow) -> JsonObject:
    """Return what a prompt used and cost; the price is held when it is not yet captured."""
    micros = row.captured_micros
    if micros is None:
        micros = (row.held_micros or 0) if row.outcome == "succeeded" else 0
    return {
        "compute_ms": row.compute_ms or 0,
        "cost_credits": credits_of(micros),
        "cost_usd": micros / MICROS_PER_DOLLAR,
    }


def _facts(message: Message, entry: Entry) -> JsonObject:
    facts: JsonObject = {
        "prompt_id": entry.row.prompt_id,
        "timestamp": int(message.at.timestamp() * 1000),
    }
    match message.event:
        case "execution_cached":
            facts["nodes"] = list(message.nodes)
        case "execution_interrupted":
            facts |= {
                "node_id": message.node_id,
                "node_type": message.node_type,
                "executed": list(message.nodes),
            }
        case "execution_error":
            facts |= {
                "node_id": message.node_id,
                "node_type": message.node_type,
                "executed": list(message.nodes),
                "exception_type": _exception_type(message, entry),
                "exception_message": exception_message(message, entry),
                "traceback": entry.failure.get("traceback") or [],
                "current_inputs": entry.failure.get("current_inputs") or {},
                "current_outputs": entry.failure.get("current_outputs") or [],
            }
    return facts


def _exception_type(message: Message, entry: Entry) -> str:
    match entry.row.outcome:
        case "blocked":
            return "ContentBlocked"
        # No worker could tell of these, so the outcome stands where its words would.
        case "failed" | "expired" as outcome if message.exception_type == outcome:
            return LOST if outcome == "failed" else EXPIRED
    return message.exception_type


def exception_message(message: Message, entry: Entry) -> str:
    """Return why a prompt failed, in words."""
    if entry.row.outcome == "blocked":
        return blocked_message(entry.row.labels)
    plain = failed_at(message.exception_type, message.node_id, message.node_type)
    reason = message.reason or entry.row.reason
    return in_full(reason, plain, entry.failure.get("exception_message"))


def _sentence(message: Message, entry: Entry) -> str:
    if message.event != "execution_error":
        return message.event
    return f"{message.event}: {exception_message(message, entry)}"
