"""The files that a graph may name: one's own inputs, and what was made for one and released."""

from __future__ import annotations

import pytest

from services.validator.files import PostgresFiles
from tests.contract.store import lives
from tests.contract.store.lives import TENANT, USER, apply, prompt_id

P1 = prompt_id(1)
MADE = "a_00001_.png [output]"


async def known(database, *asked: str, user: str = USER, tenant: str = TENANT) -> frozenset[str]:
    return await PostgresFiles(database).known(tenant, user, asked)


async def test_a_released_output_may_be_named_and_others_may_not(database):
    await apply(database, lives.success(P1))
    asked = (MADE, "a_00001_.png", "a_00001_.png [temp]", "b/a_00001_.png [output]")
    assert await known(database, *asked) == {MADE}


async def test_a_blocked_output_may_not_be_named(database):
    await apply(database, lives.blocked(P1))
    assert await known(database, MADE) == frozenset()


@pytest.mark.parametrize(("user", "tenant"), [("bob", TENANT), (USER, "other")])
async def test_an_output_of_somebody_else_may_not_be_named(database, user, tenant):
    await apply(database, lives.success(P1))
    assert await known(database, MADE, user=user, tenant=tenant) == frozenset()
