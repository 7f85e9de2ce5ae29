"""I1 and I7: every accepted prompt ends exactly once, in time, and nothing follows its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tests.chaos.checker.evidence import (
    ACCEPTED,
    Breach,
    Event,
    Evidence,
    Key,
    Receipt,
    end_of,
    of_type,
)

REFUSED = frozenset({400, 402, 403, 413, 422, 429})
UNAVAILABLE = 503
# An answer that never came, and one that says to ask again.
NO_ANSWERS = frozenset({0, UNAVAILABLE})
USUAL = frozenset({ACCEPTED, 402, 429})
EXPECTED: Mapping[str, frozenset[int]] = {
    "rejected": frozenset({400}),
    "blocked words": frozenset({403}),
    "dear": frozenset({402}),
}
# What must not come of a submission that was meant to be something.
NEVER: Mapping[str, str] = {"blocked picture": "succeeded", "quick": "blocked", "probe": "blocked"}
# Money is settled and wishes arrive after the end; neither changes what was delivered.
SIDE_EVENTS = frozenset(
    {
        *("CreditsCaptured", "CreditsReleased"),
        *("CancelRequested", "HistoryRemoved", "PromptWithdrawn"),
    }
)


def check_receipts(evidence: Evidence) -> Iterator[Breach]:
    """Compare what each customer was told with what became of the submission."""
    submitted: dict[str, list[Key]] = defaultdict(list)
    for key, story in evidence.stories.items():
        for event in of_type(story, "PromptSubmitted"):
            submitted[event.data["client_id"]].append(key)
    for receipt in evidence.receipts:
        yield from _receipt(receipt, submitted[receipt.client_id], evidence)


def _receipt(receipt: Receipt, keys: Sequence[Key], evidence: Evidence) -> Iterator[Breach]:
    told = (receipt.tenant, receipt.prompt_id)
    if len(set(receipt.prompt_ids)) > 1:
        yield Breach("I1", "doubled", f"accepted under {receipt.prompt_ids}", told)
    if strange := set(receipt.answers) - EXPECTED.get(receipt.intent, USUAL) - NO_ANSWERS:
        yield Breach("I1", "broken", f"{receipt.intent} was answered with {strange}", told)
    if len(set(keys)) > 1:
        yield Breach("I1", "doubled", f"one submission became {len(set(keys))} prompts", keys[0])
    if receipt.status == ACCEPTED:
        if told not in keys:
            yield Breach("I1", "lost", "answered 200, but it was never submitted", told)
        elif not of_type(evidence.stories[told], "RunQueued"):
            yield Breach("I1", "lost", "answered 200, but it was never queued", told)
    for key in keys:
        yield from _kept(receipt, key, evidence.stories[key])


def _kept(receipt: Receipt, key: Key, story: Sequence[Event]) -> Iterator[Breach]:
    if key[0] != receipt.tenant:
        yield Breach("I10", "broken", f"a prompt of {receipt.tenant} is kept elsewhere", key)
    if receipt.status in REFUSED and of_type(story, "RunQueued"):
        yield Breach("I1", "broken", f"answered {receipt.status}, but it was queued", key)
    end = end_of(story)
    if end is not None and end.data["outcome"] == NEVER.get(receipt.intent):
        yield Breach("I10", "broken", f"{receipt.intent} {end.data['outcome']}", key)
    taken_back = receipt.status == UNAVAILABLE and not receipt.keyed
    if taken_back and end is not None and end.data["outcome"] == "succeeded":
        yield Breach("I1", "misbilled", "answered 503 for good, but delivered and charged", key)


def check_ends(evidence: Evidence, ended_seconds_max: float) -> Iterator[Breach]:
    """Follow every prompt that was ever submitted to its one end."""
    for key, story in evidence.stories.items():
        if of_type(story, "PromptSubmitted"):
            yield from _answers(key, story)
            yield from _run(key, story, ended_seconds_max)
            yield from _leases(key, story)
            yield from _after_end(key, story)


def _answers(key: Key, story: Sequence[Event]) -> Iterator[Breach]:
    for types in (("PromptSubmitted",), ("PromptValidated", "PromptRejected")):
        if len(of_type(story, *types)) != 1:
            yield Breach("I1", "doubled", f"{len(of_type(story, *types))} of {types}", key)
    answers = of_type(story, "RunQueued", "RunRefused")
    if not answers:
        yield Breach("I1", "lost", "it was submitted and never answered", key)
    if len(answers) > 1:
        said = ", ".join(event.type for event in answers)
        yield Breach("I1", "doubled", f"it was answered more than once: {said}", key)


def _run(key: Key, story: Sequence[Event], ended_seconds_max: float) -> Iterator[Breach]:
    queued, ends = of_type(story, "RunQueued"), of_type(story, "RunEnded")
    if queued and not ends:
        yield Breach("I1", "lost", "it was accepted and has no end", key)
    if len(ends) > 1:
        yield Breach("I1", "doubled", f"it has {len(ends)} ends", key)
    if ends and not queued:
        yield Breach("I1", "broken", "it ended without having been accepted", key)
    if queued and ends:
        seconds = (ends[0].time - queued[0].time).total_seconds()
        if seconds > ended_seconds_max:
            late = f"its end took {seconds:.0f} s of at most {ended_seconds_max:.0f} s"
            yield Breach("I1", "broken", late, key)


def _leases(key: Key, story: Sequence[Event]) -> Iterator[Breach]:
    held, attempts = False, 0
    for event in of_type(story, "LeaseGranted", "LeaseExpired", "RunEnded"):
        if event.type == "LeaseGranted":
            if held or event.attempt != attempts + 1:
                yield Breach("I1", "doubled", f"lease {event.attempt} after {attempts}", key)
            held, attempts = True, event.attempt
        elif event.attempt != attempts:
            about = f"{event.type} of attempt {event.attempt} in attempt {attempts}"
            yield Breach("I3", "broken", about, key)
        else:
            held = False


def _after_end(key: Key, story: Sequence[Event]) -> Iterator[Breach]:
    end = end_of(story)
    if end is None:
        return
    for event in story[story.index(end) + 1 :]:
        if event.type in SIDE_EVENTS or _is_fenced(event, end):
            continue
        yield Breach("I7", "broken", f"{event.type} at {event.seq} after the end", key)


def _is_fenced(event: Event, end: Event) -> bool:
    """Say whether a worker or moderation spoke late of what is shown to nobody."""
    if event.subject.split(".")[3] not in ("execution", "release"):
        return False
    return event.attempt != end.attempt or end.data["outcome"] != "succeeded"


def fenced(evidence: Evidence) -> list[Event]:
    """Return what was said of an attempt after it had lost its lease, or after the end."""
    found = []
    for story in evidence.stories.values():
        over: set[int] = set()
        for event in story:
            if event.type in ("LeaseExpired", "RunEnded"):
                over.add(event.attempt)
            elif event.attempt in over and event.subject.split(".")[3] == "execution":
                found.append(event)
    return found
