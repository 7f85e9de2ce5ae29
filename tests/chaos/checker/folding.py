"""I4: the read models, folded anew from the archive by a fold of the checker's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from tests.chaos.checker.evidence import Breach, Event, Evidence

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[tuple[Any, ...], Row]

KEYS: Mapping[str, tuple[str, ...]] = {
    "prompts": ("tenant", "prompt_id"),
    "outputs": ("tenant", "prompt_id", "attempt", "node_id", "index"),
    "holds": ("tenant", "account", "prompt_id"),
    "balances": ("tenant", "account"),
    "grants": ("tenant", "account", "grant_id"),
    "ledger_entries": ("event_id", "account", "kind"),
    "workers": ("tenant", "slot"),
}


def check_read_models(evidence: Evidence) -> Iterator[Breach]:
    """Compare each table with what the events make of it, row by row, column by column."""
    for name, rows in fold(evidence).items():
        held = {tuple(row[column] for column in KEYS[name]): row for row in evidence.tables[name]}
        for key in rows.keys() | held.keys():
            for difference in _differences(rows.get(key), held.get(key)):
                prompt = _prompt_of(name, key)
                yield Breach("I4", "broken", f"{name} {key}: {difference}", prompt)


def _differences(wanted: Row | None, held: Mapping[str, Any] | None) -> Iterator[str]:
    if wanted is None or held is None:
        yield "the row is missing" if held is None else "the row follows from no event"
        return
    for column, value in wanted.items():
        if held[column] != value:
            yield f"{column} is {held[column]!r}, the events say {value!r}"


def _prompt_of(name: str, key: tuple[Any, ...]) -> tuple[str, str]:
    at = KEYS[name].index("prompt_id") if "prompt_id" in KEYS[name] else None
    return (key[0], key[at]) if at is not None else ("", "")


def fold(evidence: Evidence) -> dict[str, Rows]:
    """Return all tables as they follow from the events alone."""
    tables: dict[str, Rows] = {name: {} for name in KEYS}
    ids = {row.seq: row.event_id for row in evidence.archive}
    for event in evidence.events:
        _fold_prompt(tables["prompts"], event)
        _fold_output(tables["outputs"], event)
        _fold_money(tables, event, str(ids[event.seq]))
        _fold_worker(tables["workers"], event)
    return tables


def _fold_prompt(rows: Rows, event: Event) -> None:
    key = (event.tenant, event.prompt_id)
    if event.type == "PromptSubmitted":
        told = ("user_id", "account", "tier", "client_id", "dialect", "keyed")
        rows[key] = {
            **{column: event.data[column] for column in told},
            "state": "submitted",
            "attempt": 0,
            "number": None,
            "worker_id": None,
            "outcome": None,
            "held_micros": None,
            "captured_micros": None,
            "refusal_status": None,
            "refusal_code": None,
            "clearance": None,
            "cancel_requested": False,
            "hidden": False,
            "first_seq": event.seq,
            "ended_seq": None,
        }
        return
    row = rows.get(key)
    change = _CHANGES.get(event.type)
    if row is not None and change is not None:
        row.update(change(row, event))


def _withdrawn(row: Row, _event: Event) -> Row:
    return {"state": "withdrawn"} if row["state"] == "submitted" else {}


def _refused(_row: Row, event: Event) -> Row:
    refusal = {"refusal_status": event.data["status"], "refusal_code": event.data["code"]}
    return refusal | ({"state": "refused"} if event.type == "RunRefused" else {})


def _leased(_row: Row, event: Event) -> Row:
    return {"state": "running", "attempt": event.attempt, "worker_id": event.data["worker_id"]}


def _expired(row: Row, event: Event) -> Row:
    return {"state": "queued", "worker_id": None} if event.attempt == row["attempt"] else {}


def _ended(row: Row, event: Event) -> Row:
    if row["state"] == "ended":
        return {}
    outcome = event.data["outcome"]
    return {"state": "ended", "outcome": outcome, "ended_seq": event.seq, "attempt": event.attempt}


_CHANGES: Mapping[str, Callable[[Row, Event], Row]] = {
    "PromptWithdrawn": _withdrawn,
    "CancelRequested": lambda _row, _event: {"cancel_requested": True},
    "HistoryRemoved": lambda _row, _event: {"hidden": True},
    "PromptRejected": _refused,
    "RunRefused": _refused,
    "PromptCleared": lambda _row, _event: {"clearance": "cleared"},
    "PromptBlocked": lambda _row, _event: {"clearance": "blocked"},
    "RunQueued": lambda _row, event: {"state": "queued", "number": event.data["number"]},
    "LeaseGranted": _leased,
    "LeaseExpired": _expired,
    "RunEnded": _ended,
    "CreditsHeld": lambda _row, event: {"held_micros": event.data["amount"]},
    "CreditsCaptured": lambda _row, event: {"captured_micros": event.data["amount"]},
    "CreditsReleased": lambda _row, _event: {"captured_micros": 0},
}


def _fold_output(rows: Rows, event: Event) -> None:
    place = (event.tenant, event.prompt_id, event.attempt, event.data.get("node_id"))
    if event.type == "NodeFinished":
        told = ("kind", "folder", "subfolder", "filename", "sha256", "mime", "size_bytes")
        for output in event.data["outputs"]:
            row = {column: output[column] for column in told}
            row |= {"quarantined": output["artifact"], "artifact": None, "state": "pending"}
            rows.setdefault((*place, output["index"]), row | {"category": None})
    row = rows.get((*place, event.data.get("index")), {})
    if row.get("state") != "pending":
        return
    if event.type == "OutputReleased":
        row.update(state="released", artifact=event.data["artifact"], sha256=event.data["sha256"])
    elif event.type == "OutputBlocked":
        row.update(state="blocked", category=event.data["category"])


# The kind of entry, where the money comes from and where it goes, and what becomes of the hold.
_ENTRIES: Mapping[str, tuple[str, str, str, str]] = {
    "CreditsGranted": ("grant", "house:grants", "free:", ""),
    "CreditsHeld": ("hold", "free:", "held:", "held"),
    "CreditsCaptured": ("capture", "held:", "house:revenue", "captured"),
    "CreditsReleased": ("release", "held:", "free:", "released"),
}


def _fold_money(tables: dict[str, Rows], event: Event, event_id: str) -> None:
    if event.type == "CreditsRefused":
        key = (event.tenant, event.data["account"], event.prompt_id)
        tables["holds"].setdefault(key, {"amount": 0}).update(state="refused")
    if event.type not in _ENTRIES:
        return
    kind, source, target, state = _ENTRIES[event.type]
    account, amount = event.data["account"], event.data["amount"]
    for place, moved in ((source, -amount), (target, amount)):
        if amount:
            name = place + account if place.endswith(":") else place
            line = {"tenant": event.tenant, "prompt_id": event.prompt_id, "amount": moved}
            tables["ledger_entries"][event_id, name, kind] = line
    if state:
        hold = tables["holds"].setdefault((event.tenant, account, event.prompt_id), {"amount": 0})
        hold.update(state=state, **({"amount": amount} if state == "held" else {}))
    else:
        grant = (event.tenant, account, event.data["grant_id"])
        tables["grants"][grant] = {"amount": amount, "reason": event.data["reason"]}
    _fold_balance(tables["balances"], (event.tenant, account), event.type, amount)


def _fold_balance(rows: Rows, key: tuple[str, str], kind: str, amount: int) -> None:
    if key not in rows and kind not in ("CreditsGranted", "CreditsHeld"):
        return
    row = rows.setdefault(key, {"balance": 0, "held": 0})
    row["balance"] += {"CreditsGranted": amount, "CreditsCaptured": -amount}.get(kind, 0)
    row["held"] += amount if kind == "CreditsHeld" else 0
    row["held"] -= amount if kind in ("CreditsCaptured", "CreditsReleased") else 0


def _fold_worker(rows: Rows, event: Event) -> None:
    key = (event.tenant, event.data.get("slot"))
    if event.type == "WorkerRegistered":
        told = ("worker_id", "device", "backend", "vram_mib")
        rows[key] = {column: event.data[column] for column in told} | {"state": "up"}
    elif (
        event.type == "WorkerStopped"
        and rows.get(key, {}).get("worker_id") == (event.data["worker_id"])
    ):
        rows[key]["state"] = "stopped"
