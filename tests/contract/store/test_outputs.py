"""Outputs are found by name when they are released, and only those of the attempt that counts."""

from __future__ import annotations

import pytest

from libs.store.engine import reading
from libs.store.readmodels import outputs
from tests.contract.store import lives
from tests.contract.store.lives import TENANT, USER, apply, prompt_id

P1, P2 = prompt_id(1), prompt_id(2)
NAME = "a_00001_.png"


async def find(database, user: str = USER, tenant: str = TENANT) -> outputs.OutputRow | None:
    async with reading(database) as connection:
        return await outputs.find(connection, tenant, user, "output", "", NAME)


async def test_an_output_is_found_when_it_is_released_and_not_before(database):
    running = lives.success(P1)[:8]
    start = await apply(database, running)
    assert await find(database) is None
    await apply(database, lives.success(P1)[8:], start=start)
    found = await find(database)
    assert found is not None
    assert (found.artifact, found.sha256, found.mime, found.user_id) == (
        f"outputs/acme/ada/{P1}/1/2-0",
        "bb" * 32,
        "image/png",
        USER,
    )
    assert (found.width, found.height, found.state) == (64, 48, "released")


@pytest.mark.parametrize(("user", "tenant"), [("bob", TENANT), (USER, "other")])
async def test_an_output_of_somebody_else_is_not_found(database, user, tenant):
    await apply(database, lives.success(P1))
    assert await find(database, user, tenant) is None


async def test_a_blocked_output_is_never_found_even_if_released_later(database):
    start = await apply(database, lives.blocked(P1))
    await apply(database, [lives.released(P1)], start=start)
    assert await find(database) is None
    async with reading(database) as connection:
        (row,) = await outputs.of_prompt(connection, TENANT, P1)
    assert (row.state, row.category, row.artifact) == ("blocked", "nudity", None)


async def test_outputs_of_a_lost_attempt_are_invisible(database):
    story = lives.retried(P1)
    start = await apply(database, story[:9])
    assert await find(database) is not None
    start = await apply(database, story[9:13], start=start)
    assert await find(database) is None
    await apply(database, story[13:], start=start)
    found = await find(database)
    assert found is not None
    assert found.attempt == 2
    async with reading(database) as connection:
        rows = await outputs.of_prompt(connection, TENANT, P1)
    assert [row.attempt for row in rows] == [2]


async def test_of_two_outputs_of_one_name_the_newest_is_found(database):
    start = await apply(database, lives.success(P1))
    await apply(database, lives.success(P2), start=start)
    found = await find(database)
    assert found is not None
    assert found.prompt_id == P2


async def test_a_page_of_history_gets_all_its_outputs_at_once(database):
    start = await apply(database, lives.success(P1))
    await apply(database, lives.failure(P2), start=start)
    async with reading(database) as connection:
        found = await outputs.of_prompts(connection, TENANT, [P1, P2])
    assert {prompt: len(rows) for prompt, rows in found.items()} == {P1: 1, P2: 0}


async def test_a_page_of_history_may_be_longer_than_a_statement_has_parameters(database):
    await apply(database, lives.success(P1))
    long = [P1, *(str(number) for number in range(33_000))]
    async with reading(database) as connection:
        found = await outputs.of_prompts(connection, TENANT, long)
    assert len(found[P1]) == 1
