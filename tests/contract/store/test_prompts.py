"""Queue and history, as they follow from the events of prompts; every event is applied twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from libs.events.prompt import PromptWithdrawn
from libs.events.run import RunEnded, RunQueued
from libs.store.engine import reading
from libs.store.readmodels import prompts
from tests.contract.store import lives
from tests.contract.store.lives import NOON, TENANT, USER, apply, prompt_id

P1, P2, P3 = prompt_id(1), prompt_id(2), prompt_id(3)


async def row_of(database, prompt: str, tenant: str = TENANT) -> prompts.PromptRow:
    async with reading(database) as connection:
        row = await prompts.one(connection, tenant, prompt)
    assert row is not None
    return row


@pytest.mark.covers("R261", "R199", "R200")
async def test_a_prompt_that_succeeded_is_completed_and_keeps_its_sealed_workflow(database):
    await apply(database, lives.success(P1))
    row = await row_of(database, P1)
    assert (row.state, row.outcome, row.status_str, row.completed) == (
        "ended",
        "succeeded",
        "success",
        True,
    )
    assert row.workflow == lives.WORKFLOW
    assert (row.held_micros, row.captured_micros) == (lives.PRICE, lives.PRICE)
    assert (row.cached, row.executed, row.compute_ms) == (("4",), ("3", "9"), 1200)
    assert row.node_ui == {"9": lives.DETAIL}
    assert row.ended_at == NOON + timedelta(milliseconds=11)
    assert [message.event for message in row.messages] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]
    assert [message.at for message in row.messages] == sorted(m.at for m in row.messages)


@pytest.mark.covers("R199", "R200")
async def test_a_prompt_that_failed_names_the_node_and_is_not_completed(database):
    await apply(database, lives.failure(P1))
    row = await row_of(database, P1)
    assert (row.status_str, row.completed, row.captured_micros) == ("error", False, 0)
    assert (row.failed_node_id, row.failed_node_type) == ("3", "KSampler")
    assert row.failure == lives.DETAIL
    last = row.messages[-1]
    assert (last.event, last.node_id, last.exception_type, last.nodes) == (
        "execution_error",
        "3",
        "OutOfMemoryError",
        ("4",),
    )


async def test_an_interrupted_prompt_says_where_it_stopped(database):
    await apply(database, lives.interrupted(P1))
    row = await row_of(database, P1)
    assert (row.outcome, row.cancel_requested) == ("cancelled", True)
    assert [message.event for message in row.messages][-1:] == ["execution_interrupted"]
    assert row.messages[-1].node_id == "3"


async def test_a_blocked_prompt_says_so_without_a_node(database):
    await apply(database, lives.blocked(P1))
    row = await row_of(database, P1)
    assert (row.status_str, row.labels) == ("error", ("nudity",))
    assert row.messages[-1].exception_type == "OutputBlocked"


async def test_only_the_attempt_that_counts_is_told_of(database):
    await apply(database, lives.retried(P1))
    row = await row_of(database, P1)
    assert (row.attempt, row.worker_id, row.outcome) == (2, "worker-2", "succeeded")
    assert row.failure is None
    assert [message.event for message in row.messages] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]


@pytest.mark.covers("R348")
async def test_a_refused_prompt_keeps_status_code_and_sealed_detail(database):
    await apply(database, lives.rejected(P1))
    row = await row_of(database, P1)
    assert (row.state, row.refusal_status, row.refusal_code, row.refusal_message) == (
        "refused",
        400,
        "prompt_no_outputs",
        "Prompt has no outputs",
    )
    assert row.refusal_detail == lives.DETAIL


async def test_the_queue_is_what_is_neither_ended_nor_refused_nor_withdrawn(database):
    start = await apply(database, lives.accepted(P1))
    start = await apply(database, lives.success(P2), start=start)
    start = await apply(database, lives.unfinished(P3), start=start)
    async with reading(database) as connection:
        found = await prompts.open_prompts(connection)
        first = await prompts.first_open_seq(connection)
    assert [(row.prompt_id, row.state) for row in found] == [(P1, "queued"), (P3, "running")]
    assert first == 1


async def test_a_withdrawn_prompt_is_read_again_until_the_scheduler_has_answered(database):
    events = [lives.submitted(P1), PromptWithdrawn(prompt_id=P1, reason="no answer")]
    start = await apply(database, events)
    async with reading(database) as connection:
        assert await prompts.open_prompts(connection) == []
        assert await prompts.first_open_seq(connection) == 1
    await apply(database, lives.withdrawn(P1)[2:], start=start)
    async with reading(database) as connection:
        assert await prompts.first_open_seq(connection) is None


async def test_a_second_end_changes_nothing(database):
    start = await apply(database, lives.success(P1))
    before = await row_of(database, P1)
    await apply(database, [lives.ended(P1, "failed", 2)], start=start)
    assert await row_of(database, P1) == before


async def test_an_event_of_an_unknown_prompt_makes_no_row(database):
    await apply(database, [RunEnded(prompt_id=P1, outcome="failed", attempt=1)])
    async with reading(database) as connection:
        assert await prompts.one(connection, TENANT, P1) is None


async def test_history_is_oldest_first_and_max_items_takes_the_newest(database):
    start = 1
    for number in range(5):
        start = await apply(database, lives.success(prompt_id(number)), start=start)
    async with reading(database) as connection:
        newest = await prompts.history(connection, TENANT, USER, max_items=2)
        skipped = await prompts.history(connection, TENANT, USER, max_items=2, offset=1)
        beyond = await prompts.history(connection, TENANT, USER, max_items=2, offset=9)
        single = await prompts.history(connection, TENANT, USER, max_items=9, prompt_id=P1)
    assert [row.prompt_id for row in newest] == [prompt_id(3), prompt_id(4)]
    assert [row.prompt_id for row in skipped] == [prompt_id(1), prompt_id(2)]
    assert beyond == []
    assert [row.prompt_id for row in single] == [P1]


async def test_history_is_of_one_user_of_one_tenant_and_of_what_ran(database):
    start = await apply(database, lives.success(P1, "ada"))
    start = await apply(database, lives.success(P2, "bob"), start=start)
    start = await apply(database, lives.success(P1, "ada"), start=start, tenant="other")
    start = await apply(database, lives.removed(P3), start=start)
    await apply(database, lives.cancelled_in_queue(prompt_id(4)), start=start)
    async with reading(database) as connection:
        ada = await prompts.history(connection, TENANT, "ada", max_items=9)
        everybody = await prompts.history(connection, TENANT, None, max_items=9)
    assert [(row.tenant, row.prompt_id) for row in ada] == [(TENANT, P1)]
    assert [row.prompt_id for row in everybody] == [P1, P2]


async def test_the_next_number_is_one_more_than_any_before(database):
    async with reading(database) as connection:
        assert await prompts.next_number(connection) == 1
    start = await apply(database, lives.accepted(P1, number=41))
    await apply(database, [lives.submitted(P2)], start=start)
    async with reading(database) as connection:
        assert await prompts.next_number(connection) == 42


async def test_a_zero_character_in_what_people_typed_stops_nothing(database):
    odd = lives.submitted(P1).model_copy(update={"client_id": "a\0b", "source": "\0"})
    queued = RunQueued(prompt_id=P1, number=1, tier="free", account=USER)
    await apply(database, [odd, queued])
    row = await row_of(database, P1)
    assert (row.client_id, row.source, row.state) == ("ab", "", "queued")
