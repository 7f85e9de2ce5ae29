"""I2: the price is taken exactly once iff the run succeeded, and every hold is closed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.checker.evidence import Breach, Event, Evidence, Key, end_of, of_type


def check_money(evidence: Evidence) -> Iterator[Breach]:
    """Follow the money of every prompt, and add the ledger up."""
    for key, story in evidence.stories.items():
        if of_type(story, "PromptSubmitted"):
            yield from _prompt(key, story)
    yield from _shown_costs(evidence)
    yield from _entries(evidence)
    yield from _balances(evidence)


def _prompt(key: Key, story: Sequence[Event]) -> Iterator[Breach]:
    counts = Counter(event.type for event in story)
    had = (counts["CreditsHeld"], counts["CreditsCaptured"], counts["CreditsReleased"])
    end = end_of(story)
    if end is not None:
        wanted = [(1, 1, 0)] if end.data["outcome"] == "succeeded" else [(1, 0, 1)]
        what = end.data["outcome"]
    elif counts["RunRefused"]:
        # What was never accepted may have been held; a hold that comes late finds itself closed.
        wanted, what = [(1, 0, 1), (0, 0, 0), (0, 0, 1)], "refused"
    else:
        # That it has no end is told elsewhere; its money must still be where it was.
        wanted, what = [(1, 0, 0), (0, 0, 0)], "without an end"
    if had not in wanted:
        said = "held/captured/released = {}/{}/{}".format(*had)
        yield Breach("I2", "misbilled", f"{what}, but {said}", key)
        return
    held = sum(event.data["amount"] for event in of_type(story, "CreditsHeld"))
    closed = sum(e.data["amount"] for e in of_type(story, "CreditsCaptured", "CreditsReleased"))
    if held != closed and what != "without an end":
        yield Breach("I2", "misbilled", f"{held} was held, {closed} taken or given back", key)
    accounts = {e.data["account"] for e in story if e.subject.split(".")[3] == "ledger"}
    owner = {e.data["account"] for e in of_type(story, "PromptSubmitted")}
    if accounts - owner:
        yield Breach("I2", "misbilled", f"{accounts - owner} paid for {owner}", key)


def _shown_costs(evidence: Evidence) -> Iterator[Breach]:
    for key, shown in evidence.costs.items():
        story = evidence.stories.get(key, [])
        taken = sum(event.data["amount"] for event in of_type(story, "CreditsCaptured"))
        if shown != taken:
            yield Breach("I2", "misbilled", f"the history says {shown}, {taken} was taken", key)


def _entries(evidence: Evidence) -> Iterator[Breach]:
    sums: dict[str, int] = defaultdict(int)
    for row in evidence.tables["ledger_entries"]:
        sums[row["event_id"]] += row["amount"]
    for event_id, total in sums.items():
        if total:
            yield Breach("I2", "misbilled", f"the postings of {event_id} sum to {total}")


def _balances(evidence: Evidence) -> Iterator[Breach]:
    """Add up from the entries what each account has, and what is still set aside."""
    free: dict[Key, int] = defaultdict(int)
    for row in evidence.tables["ledger_entries"]:
        place, _, account = row["account"].partition(":")
        if place in ("free", "held"):
            free[row["tenant"], account] += row["amount"]
    for row in evidence.tables["balances"]:
        key = (row["tenant"], row["account"])
        if row["held"]:
            yield Breach("I2", "misbilled", f"{row['held']} of {key} is still set aside")
        if row["balance"] != free[key]:
            said = f"{key} has {row['balance']}, its entries add up to {free[key]}"
            yield Breach("I2", "misbilled", said)
    for row in evidence.tables["holds"]:
        if row["state"] == "held":
            key = (row["tenant"], row["prompt_id"])
            yield Breach("I2", "misbilled", "its hold was never closed", key)
