"""Evidence made by hand: a little house in which everything is right, to be tampered with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.checker.archive import GENESIS
from tests.chaos.checker.evidence import ArchiveRow, Evidence, Receipt, Shown, StreamRow
from tests.chaos.checker.folding import KEYS, fold

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SHA = hashlib.sha256(b"a picture").hexdigest()
PRICE = 20
ADA = ("acme", "ada")


@dataclass
class Fabric:
    """Writes events one second apart, and makes the rest of the evidence follow from them."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    blobs: dict[str, str] = field(default_factory=dict)

    def say(self, prompt: str, kind: str, name: str, **data: Any) -> None:
        """Append an event about a prompt of Ada's."""
        tenant = "_sys" if kind == "worker" else ADA[0]
        aggregate = {"ledger": ADA[1], "worker": "w-1"}.get(kind, prompt)
        self.facts.append(
            {
                "subject": f"evt.v1.{tenant}.{kind}.{aggregate}",
                "type": name,
                "prompt": prompt,
                "data": {"prompt_id": prompt, **data},
            }
        )

    def evidence(self) -> Evidence:
        """Return the evidence of a house in which exactly this happened."""
        archive, previous = [], GENESIS
        for seq, fact in enumerate(self.facts, start=1):
            body = {
                "id": f"event-{seq}",
                "type": f"ai.hanzo.studio.{fact['type']}",
                "time": (NOON + timedelta(seconds=seq)).isoformat(),
                "correlationid": fact["prompt"],
                "data": fact["data"],
            }
            payload, subject = json.dumps(body).encode(), fact["subject"]
            linked = previous + seq.to_bytes(8, "big") + subject.encode() + payload
            previous = hashlib.sha256(linked).digest()
            archive.append(ArchiveRow(seq, subject, payload, previous, f"event-{seq}"))
        stream = [StreamRow(row.seq, row.subject, row.payload) for row in archive]
        checkpoint = {"name": "archive", "seq": len(archive), "hash": previous}
        bare = Evidence(self.receipts, archive, stream, {"checkpoint": [checkpoint]}, self.blobs)
        shown = {
            (ADA[0], "good"): [Shown("2", "a_00002_.png", "", "temp", 200, SHA)],
            (ADA[0], "withheld"): [],
            (ADA[0], "stopped"): [],
        }
        costs = dict.fromkeys(shown, 0) | {(ADA[0], "good"): PRICE}
        tables = dict(bare.tables) | {
            name: [{**dict(zip(KEYS[name], key, strict=True)), **row} for key, row in rows.items()]
            for name, rows in fold(bare).items()
        }
        return replace(bare, tables=deepcopy(tables), shown=shown, costs=costs)


def accepted(fabric: Fabric, prompt: str, number: int) -> None:
    """Walk a prompt up to its place in the line."""
    intent = "blocked picture" if prompt == "withheld" else "quick"
    receipt = Receipt(f"client-{prompt}", *ADA, intent, keyed=True, sent_at=0.0)
    receipt.answers, receipt.prompt_ids = [0, 200], [prompt]
    fabric.receipts.append(receipt)
    submitted(fabric, prompt)
    fabric.say(prompt, "verdict", "PromptValidated")
    fabric.say(prompt, "clearance", "PromptCleared")
    fabric.say(prompt, "ledger", "CreditsHeld", account=ADA[1], amount=PRICE)
    fabric.say(prompt, "run", "RunQueued", number=number)


def submitted(fabric: Fabric, prompt: str) -> None:
    """Hand a prompt in."""
    owner = {"user_id": ADA[1], "account": ADA[1], "tier": "pro", "dialect": "comfyui"}
    facts = {"client_id": f"client-{prompt}", "keyed": True}
    fabric.say(prompt, "prompt", "PromptSubmitted", **owner, **facts)


def executed(fabric: Fabric, prompt: str, attempt: int) -> None:
    """Lease a prompt to a worker that makes one picture of it."""
    leased(fabric, prompt, attempt)
    fabric.say(prompt, "execution", "NodeFinished", attempt=attempt, **picture(prompt, attempt))
    fabric.say(prompt, "execution", "ExecutionFinished", attempt=attempt, outputs=1)


def leased(fabric: Fabric, prompt: str, attempt: int) -> None:
    """Lease a prompt to the worker."""
    fabric.say(prompt, "run", "LeaseGranted", attempt=attempt, worker_id="w-1")


def picture(prompt: str, attempt: int) -> dict[str, Any]:
    """Return what a node says of the one picture it made."""
    output = {
        "index": 0,
        "kind": "image",
        "filename": f"a_0000{attempt}_.png",
        "subfolder": "",
        "folder": "temp",
        "sha256": SHA,
        "mime": "image/png",
        "size_bytes": 9,
        "artifact": f"quarantine/acme/{prompt}/{attempt}/0-0",
    }
    return {"node_id": "2", "outputs": [output]}


def released(fabric: Fabric, prompt: str, attempt: int) -> None:
    """Let the picture pass, and keep its bytes."""
    key = f"outputs/acme/ada/{prompt}/{attempt}/0-0"
    place = {"attempt": attempt, "node_id": "2", "index": 0}
    fabric.say(prompt, "release", "OutputReleased", **place, artifact=key, sha256=SHA)
    fabric.blobs[key] = SHA


def ended(fabric: Fabric, prompt: str, outcome: str, attempt: int) -> None:
    """End a run and settle its money."""
    fabric.say(prompt, "run", "RunEnded", outcome=outcome, attempt=attempt)
    settled = "CreditsCaptured" if outcome == "succeeded" else "CreditsReleased"
    fabric.say(prompt, "ledger", settled, account=ADA[1], amount=PRICE)


def sound(change: Callable[[Fabric], None] = lambda _fabric: None) -> Evidence:
    """Return a house with a success, a withheld picture, a cancelled and a refused prompt.

    The success is of a second attempt, whose forerunner had made a picture too. `change` says
    what happens besides, at the end.
    """
    fabric = Fabric()
    worker = {"worker_id": "w-1", "slot": "one", "device": "cpu", "backend": "torch"}
    fabric.say("", "worker", "WorkerRegistered", **worker, vram_mib=1)
    fabric.say("", "ledger", "CreditsGranted", account="ada", amount=90, reason="x", grant_id="x")
    accepted(fabric, "good", 1)
    executed(fabric, "good", 1)
    fabric.say("good", "run", "LeaseExpired", attempt=1)
    released(fabric, "good", 1)
    executed(fabric, "good", 2)
    released(fabric, "good", 2)
    ended(fabric, "good", "succeeded", 2)
    accepted(fabric, "withheld", 2)
    executed(fabric, "withheld", 1)
    place = {"attempt": 1, "node_id": "2", "index": 0}
    fabric.say("withheld", "release", "OutputBlocked", **place, category="nudity")
    ended(fabric, "withheld", "blocked", 1)
    accepted(fabric, "stopped", 3)
    ended(fabric, "stopped", "cancelled", 0)
    refused(fabric)
    change(fabric)
    return fabric.evidence()


def refused(fabric: Fabric) -> None:
    """Hand in what cannot be executed."""
    receipt = Receipt("client-bad", *ADA, "rejected", keyed=False, sent_at=0.0)
    receipt.answers.append(400)
    fabric.receipts.append(receipt)
    submitted(fabric, "bad")
    fabric.say("bad", "verdict", "PromptRejected", status=400, code="invalid")
    fabric.say("bad", "run", "RunRefused", status=400, code="invalid")


def without(name: str, prompt: str) -> Callable[[Fabric], None]:
    """Return a change that takes the last event of that name back."""

    def change(made: Fabric) -> None:
        named = [
            place
            for place, fact in enumerate(made.facts)
            if (fact["type"], fact["prompt"]) == (name, prompt)
        ]
        del made.facts[named[-1]]

    return change


def without_end(prompt: str) -> Evidence:
    """Return a house in which a prompt never ended, though its money was settled."""
    return sound(without("RunEnded", prompt))
