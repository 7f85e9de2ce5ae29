"""The checker is handed breaches of every kind, and must find each of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos import fabric
from tests.chaos.checker.ends import fenced
from tests.chaos.checker.evidence import Evidence, Glimpse, Receipt, Shown
from tests.chaos.checker.inspection import inspect
from tests.chaos.checker.outputs import forbidden_files
from tests.chaos.fabric import ADA, PRICE, SHA, Fabric, sound, without, without_end

GOOD, WITHHELD = ("acme", "good"), ("acme", "withheld")


def found(evidence: Evidence, **bounds: float) -> set[tuple[str, str]]:
    """Return which invariants are broken, and how."""
    return {(breach.invariant, breach.kind) for breach in inspect(evidence, **bounds)}


def with_row(evidence: Evidence, table: str, key: dict[str, Any], **changes: Any) -> Evidence:
    """Return the evidence with one row of a table changed."""
    rows = [
        {**row, **changes} if key.items() <= row.items() else row for row in evidence.tables[table]
    ]
    assert rows != evidence.tables[table]
    return replace(evidence, tables={**evidence.tables, table: rows})


def test_a_sound_house_is_found_sound():
    assert inspect(sound()) == []


def test_an_accepted_prompt_without_an_end_is_lost():
    assert ("I1", "lost") in found(without_end("good"))


def test_a_price_that_is_taken_before_the_end_is_mis_billed():
    assert ("I2", "misbilled") in found(without_end("good"))


def test_a_submission_that_nobody_answered_is_lost():
    def change(made: Fabric) -> None:
        fabric.submitted(made, "new")

    assert ("I1", "lost") in found(sound(change))


def test_a_prompt_that_was_answered_200_and_is_nowhere_is_lost():
    evidence = sound()
    receipt = Receipt("client-none", *ADA, "quick", keyed=True, sent_at=0.0)
    receipt.answers, receipt.prompt_ids = [200], ["none"]
    assert found(replace(evidence, receipts=[*evidence.receipts, receipt])) == {("I1", "lost")}


def test_a_second_end_is_a_double():
    def change(made: Fabric) -> None:
        made.say("good", "run", "RunEnded", outcome="succeeded", attempt=2)

    assert {("I1", "doubled"), ("I7", "broken")} <= found(sound(change))


def test_a_second_place_in_the_line_is_a_double():
    def change(made: Fabric) -> None:
        made.say("good", "run", "RunQueued", number=9)

    assert ("I1", "doubled") in found(sound(change))


def test_a_retry_that_became_a_second_prompt_is_a_double():
    def change(made: Fabric) -> None:
        fabric.accepted(made, "twin", 4)
        fabric.ended(made, "twin", "cancelled", 0)
        made.receipts.pop()
        submitted = next(fact for fact in made.facts if fact["prompt"] == "twin")
        submitted["data"]["client_id"] = "client-good"

    assert found(sound(change)) == {("I1", "doubled")}


def test_two_ids_for_one_submission_are_a_double():
    evidence = sound()
    evidence.receipts[0].prompt_ids.insert(0, "another")
    assert found(evidence) == {("I1", "doubled")}


def test_a_lease_that_is_granted_while_another_holds_is_a_double():
    assert ("I1", "doubled") in found(sound(without("LeaseExpired", "good")))


def test_an_end_that_came_too_late_is_told():
    assert found(sound(), ended_seconds_max=3) == {("I1", "broken")}


def test_a_refused_prompt_that_runs_all_the_same_is_told():
    evidence = sound()
    evidence.receipts[0].answers.append(400)
    assert ("I1", "broken") in found(evidence)


def test_an_answer_that_fits_no_such_submission_is_told():
    evidence = sound()
    evidence.receipts[-1].answers.insert(0, 500)
    assert found(evidence) == {("I1", "broken")}


def test_what_was_taken_back_with_a_503_must_not_be_charged():
    evidence = sound()
    receipt = evidence.receipts[0]
    receipt.keyed, receipt.answers = False, [503]
    assert found(evidence) == {("I1", "misbilled")}


@pytest.mark.parametrize("prompt", ["good", "stopped"])
def test_a_hold_that_stays_open_is_mis_billed(prompt: str):
    name = "CreditsCaptured" if prompt == "good" else "CreditsReleased"
    assert ("I2", "misbilled") in found(sound(without(name, prompt)))


def test_a_success_that_is_charged_twice_is_mis_billed():
    def change(made: Fabric) -> None:
        made.say("good", "ledger", "CreditsCaptured", account="ada", amount=PRICE)

    assert ("I2", "misbilled") in found(sound(change))


def test_a_withheld_picture_that_is_charged_is_mis_billed():
    def change(made: Fabric) -> None:
        without("CreditsReleased", "withheld")(made)
        made.say("withheld", "ledger", "CreditsCaptured", account="ada", amount=PRICE)

    assert ("I2", "misbilled") in found(sound(change))


def test_a_price_that_is_not_the_held_one_is_mis_billed():
    def change(made: Fabric) -> None:
        without("CreditsCaptured", "good")(made)
        made.say("good", "ledger", "CreditsCaptured", account="ada", amount=PRICE - 1)

    assert ("I2", "misbilled") in found(sound(change))


def test_somebody_else_who_pays_is_mis_billed():
    def change(made: Fabric) -> None:
        without("CreditsCaptured", "good")(made)
        made.say("good", "ledger", "CreditsCaptured", account="bob", amount=PRICE)

    assert ("I2", "misbilled") in found(sound(change))


def test_a_price_in_the_history_that_was_not_taken_is_mis_billed():
    evidence = sound()
    assert found(replace(evidence, costs={GOOD: PRICE + 1})) == {("I2", "misbilled")}


def test_postings_that_do_not_sum_to_zero_are_told():
    evidence = with_row(sound(), "ledger_entries", {"account": "house:revenue"}, amount=PRICE + 1)
    assert found(evidence) == {("I2", "misbilled"), ("I4", "broken")}


def test_a_balance_that_its_entries_do_not_give_is_told():
    evidence = with_row(sound(), "balances", {"account": "ada"}, balance=1)
    assert found(evidence) == {("I2", "misbilled"), ("I4", "broken")}


def test_an_output_that_is_not_stored_is_lost():
    evidence = sound()
    blobs = {key: sha for key, sha in evidence.blobs.items() if "/good/2/" not in key}
    assert found(replace(evidence, blobs=blobs)) == {("I3", "lost")}


def test_an_output_with_other_bytes_is_told():
    evidence = sound()
    blobs = dict.fromkeys(evidence.blobs, "0" * 64)
    assert found(replace(evidence, blobs=blobs)) == {("I3", "broken")}


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ([], {("I3", "lost")}),
        ([Shown("2", "a_00002_.png", "", "temp", 404, SHA)], {("I3", "lost")}),
        ([Shown("2", "a_00002_.png", "", "temp", 200, "0" * 64)], {("I3", "broken")}),
        ([Shown("2", "a_00002_.png", "", "temp", 200, SHA)] * 2, {("I3", "doubled")}),
    ],
)
def test_a_history_that_shows_something_else_is_told(files: list[Shown], wanted: set[Any]):
    evidence = sound()
    assert found(replace(evidence, shown={**evidence.shown, GOOD: files})) == wanted


def test_a_file_of_a_lost_attempt_in_the_history_is_told():
    evidence = sound()
    files = [*evidence.shown[GOOD], Shown("2", "a_00001_.png", "", "temp", 200, SHA)]
    assert found(replace(evidence, shown={**evidence.shown, GOOD: files})) == {("I3", "broken")}


def test_a_blocked_file_in_the_history_is_told():
    evidence = sound()
    files = [Shown("2", "a_00001_.png", "", "temp", 200, SHA)]
    assert found(replace(evidence, shown={**evidence.shown, WITHHELD: files})) == {("I3", "broken")}


def test_a_success_that_the_history_does_not_know_is_lost():
    assert found(replace(sound(), shown={})) == {("I3", "lost")}


def test_an_end_of_an_attempt_that_did_not_finish_is_told():
    assert ("I3", "broken") in found(sound(without("ExecutionFinished", "good")))


def test_an_output_that_was_announced_and_not_made_is_lost():
    assert ("I3", "lost") in found(sound(without("NodeFinished", "good")))


@pytest.mark.parametrize(
    ("table", "key", "changes"),
    [
        ("prompts", {"prompt_id": "good"}, {"outcome": "failed"}),
        ("prompts", {"prompt_id": "bad"}, {"state": "queued"}),
        ("outputs", {"prompt_id": "withheld"}, {"state": "released"}),
        ("holds", {"prompt_id": "stopped"}, {"state": "captured"}),
        ("grants", {"account": "ada"}, {"amount": 1}),
        ("workers", {"slot": "one"}, {"worker_id": "w-2"}),
    ],
)
def test_a_read_model_that_does_not_follow_from_the_events_is_told(table, key, changes):
    assert ("I4", "broken") in found(with_row(sound(), table, key, **changes))


@pytest.mark.parametrize("table", ["prompts", "outputs", "holds", "grants", "workers"])
def test_a_row_that_is_missing_or_invented_is_told(table: str):
    evidence = sound()
    rows = list(evidence.tables[table])
    missing = {**evidence.tables, table: rows[1:]}
    assert ("I4", "broken") in found(replace(evidence, tables=missing))
    key = "slot" if table == "workers" else "tenant"
    invented = {**evidence.tables, table: [*rows, {**rows[0], key: "nobody"}]}
    assert ("I4", "broken") in found(replace(evidence, tables=invented))


def test_an_event_that_is_not_archived_is_lost():
    evidence = sound()
    assert found(replace(evidence, stream=[*evidence.stream, newer(evidence)])) == {("I5", "lost")}


def newer(evidence: Evidence) -> Any:
    last = evidence.stream[-1]
    return replace(last, seq=last.seq + 1)


def test_a_row_that_the_stream_does_not_have_is_told():
    evidence = sound()
    assert found(replace(evidence, stream=evidence.stream[:-1])) == {("I5", "broken")}


def test_a_stream_that_has_forgotten_its_beginning_is_sound():
    evidence = sound()
    assert found(replace(evidence, stream=evidence.stream[7:])) == set()


def test_other_bytes_in_the_archive_break_stream_and_chain():
    evidence = sound()
    archive = list(evidence.archive)
    changed = archive[5].payload.replace(b"12:00", b"12:01")
    assert changed != archive[5].payload
    archive[5] = replace(archive[5], payload=changed)
    told = found(replace(evidence, archive=archive))
    assert {("I5", "broken"), ("I6", "broken")} <= told


def test_a_row_that_is_missing_breaks_the_chain():
    evidence = sound()
    archive = [row for row in evidence.archive if row.seq != 4]
    assert ("I6", "lost") in found(replace(evidence, archive=archive))


def test_a_checkpoint_elsewhere_than_the_end_of_the_chain_is_told():
    evidence = sound()
    told = with_row(evidence, "checkpoint", {"name": "archive"}, seq=len(evidence.archive) - 1)
    assert found(told) == {("I6", "broken")}


@pytest.mark.parametrize(
    ("name", "kind", "attempt"),
    [("NodeFinished", "execution", 2), ("LeaseExpired", "run", 2), ("LeaseGranted", "run", 3)],
)
def test_an_event_after_the_end_is_told(name: str, kind: str, attempt: int):
    def change(made: Fabric) -> None:
        facts = fabric.picture("good", attempt) if kind == "execution" else {"worker_id": "w-1"}
        made.say("good", kind, name, attempt=attempt, **facts)

    assert ("I7", "broken") in found(sound(change))


def test_a_worker_that_speaks_late_of_a_lost_attempt_is_counted_and_shown_to_nobody():
    def change(made: Fabric) -> None:
        made.say("good", "execution", "ExecutionFinished", attempt=1, outputs=1)

    evidence = sound(change)
    assert inspect(evidence) == []
    assert [event.type for event in fenced(evidence)] == ["ExecutionFinished"]
    assert fenced(sound()) == []


def test_wishes_after_the_end_are_side_events():
    def change(made: Fabric) -> None:
        made.say("good", "prompt", "CancelRequested", by="ada")
        made.say("good", "prompt", "HistoryRemoved", by="ada")

    assert inspect(sound(change)) == []


def test_a_forbidden_look_that_saw_something_is_told():
    evidence = sound()
    seen = Glimpse("another tenant's file", GOOD, 200, saw=True)
    unseen = Glimpse("another tenant's file", GOOD, 404, saw=False)
    assert found(replace(evidence, glimpses=[unseen])) == set()
    assert found(replace(evidence, glimpses=[unseen, seen])) == {("I10", "broken")}


def test_a_blocked_picture_among_the_released_ones_is_told():
    evidence = sound()
    blobs = {**evidence.blobs, "outputs/acme/ada/withheld/1/0-0": SHA}
    assert found(replace(evidence, blobs=blobs)) == {("I10", "broken")}


def test_a_picture_that_should_have_been_withheld_and_was_delivered_is_told():
    evidence = sound()
    evidence.receipts[0].intent = "blocked picture"
    assert found(evidence) == {("I10", "broken")}


def test_a_prompt_in_another_tenant_than_its_customer_is_told():
    evidence = sound()
    evidence.receipts[0].tenant = "globex"
    assert ("I10", "broken") in found(evidence)


def test_the_files_that_an_owner_must_not_see_are_those_of_lost_attempts_and_withheld_ones():
    stories = sound().stories
    lost = [(what, output["filename"]) for what, output in forbidden_files(stories[GOOD])]
    assert lost == [("an output of another attempt", "a_00001_.png")]
    assert [what for what, _ in forbidden_files(stories[WITHHELD])] == ["a blocked output"]
