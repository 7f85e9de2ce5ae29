"""Money: double entry, balances, holds, and what billing starts from."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.store import projections
from libs.store.engine import reading, writing
from libs.store.readmodels import accounts
from libs.store.readmodels.checkpoint import ARCHIVE, Checkpoint, save
from libs.store.readmodels.ledger import postings
from tests.contract.store import lives
from tests.contract.store.lives import PRICE, TENANT, USER, apply, prompt_id

P1, P2, P3, P4 = (prompt_id(number) for number in range(1, 5))
WELCOME = 1_000_000


async def test_an_account_follows_its_grants_holds_captures_and_releases(database):
    start = await apply(database, [lives.granted()])
    start = await apply(database, lives.success(P1), start=start)
    start = await apply(database, lives.failure(P2), start=start)
    start = await apply(database, lives.unfinished(P3), start=start)
    await apply(database, lives.broke(P4), start=start)
    async with writing(database) as connection:
        await save(connection, Checkpoint(ARCHIVE, "EVENTS", 77, b"", "now"))
        found = await accounts.snapshot(connection, TENANT, USER)
    assert (found.seq, found.opened, found.balance) == (77, True, WELCOME - PRICE)
    assert {prompt: (hold.amount, hold.images) for prompt, hold in found.holds.items()} == {
        P3: (PRICE, 1)
    }
    assert found.settled == (P1, P2, P4)
    assert found.grants == ("welcome",)
    assert found.images_by_day == {"2026-11-23": 2}


async def test_an_account_that_nobody_used_is_not_opened(database):
    async with reading(database) as connection:
        assert await accounts.snapshot(connection, TENANT, "nobody") == accounts.AccountSnapshot(0)


async def test_a_release_of_nothing_opens_no_account(database):
    await apply(database, [lives.given_back(P1, amount=0)])
    async with reading(database) as connection:
        found = await accounts.snapshot(connection, TENANT, USER)
    assert (found.opened, found.settled) == (False, (P1,))


async def test_an_account_of_another_tenant_is_another_account(database):
    await apply(database, [lives.granted()])
    async with reading(database) as connection:
        assert not (await accounts.snapshot(connection, "other", USER)).opened


async def test_only_the_two_days_that_can_matter_are_counted(database):
    def day(number: int, name: str):
        held = lives.accepted(prompt_id(number))[3]
        return held.model_copy(update={"day": name})

    days = ["2026-11-20", "2026-11-22", "2026-11-23"]
    await apply(database, [day(number, name) for number, name in enumerate(days)])
    async with reading(database) as connection:
        found = await accounts.snapshot(connection, TENANT, USER)
        page = await accounts.account_page(connection, TENANT, USER)
    assert found.images_by_day == {"2026-11-22": 1, "2026-11-23": 1}
    assert [use.day for use in page.usage] == days[::-1]


async def test_a_person_sees_balance_prices_and_use(database):
    start = await apply(database, [lives.granted()])
    start = await apply(database, lives.success(P1), start=start)
    await apply(database, lives.unfinished(P2), start=start)
    async with reading(database) as connection:
        page = await accounts.account_page(connection, TENANT, USER)
    assert (page.balance, page.held) == (WELCOME - PRICE, PRICE)
    assert [(hold.prompt_id, hold.state) for hold in page.recent] == [
        (P2, "held"),
        (P1, "captured"),
    ]
    (use,) = page.usage
    assert (use.prompts, use.images, use.held_micros, use.captured_micros) == (
        2,
        2,
        2 * PRICE,
        PRICE,
    )


@pytest.mark.parametrize("life", lives.LIVES)
def test_the_postings_of_every_event_sum_to_zero(life):
    for event in [lives.granted(), *life(P1)]:
        _, lines = postings(event)
        assert sum(line.amount for line in lines) == 0


async def test_the_ledger_sums_to_zero_and_agrees_with_the_balances(database):
    start = await apply(database, [lives.granted()])
    for number, life in enumerate(lives.LIVES):
        start = await apply(database, life(prompt_id(number)), start=start)
    async with reading(database) as connection:
        sums: dict[str, int] = dict(
            (
                await connection.execute(
                    text("SELECT account, sum(amount) FROM ledger_entries GROUP BY account")
                )
            ).all()
        )
        page = await accounts.account_page(connection, TENANT, USER)
    assert sum(sums.values()) == 0
    assert sums["held:ada"] == page.held
    assert sums["free:ada"] == page.balance - page.held
    assert sums["house:revenue"] == WELCOME - page.balance


@pytest.mark.parametrize("amount", [1, -1])
async def test_an_entry_that_does_not_sum_to_zero_is_refused_by_the_database(database, amount):
    statement = (
        "INSERT INTO ledger_entries (event_id, account, kind, tenant, prompt_id, amount, seq) "
        "VALUES ('e', 'free:ada', 'grant', 'acme', '', :amount, 1)"
    )
    with pytest.raises(DBAPIError, match="not to zero"):
        async with writing(database) as connection:
            await connection.execute(text(statement), {"amount": amount})


@pytest.mark.parametrize(
    "statement", ["UPDATE ledger_entries SET amount = 0", "DELETE FROM ledger_entries"]
)
async def test_an_entry_is_never_changed(database, statement):
    await apply(database, [lives.granted()])
    with pytest.raises(DBAPIError, match="never changed or removed"):
        async with writing(database) as connection:
            await connection.execute(text(statement))


async def test_batches_of_any_cut_give_the_same_accounts(database):
    batch = lives.recorded([lives.granted(), *lives.success(P1), *lives.retried(P2)])
    for cut in range(len(batch)):
        async with writing(database) as connection:
            await projections.apply(connection, batch[cut : cut + 1])
    async with reading(database) as connection:
        page = await accounts.account_page(connection, TENANT, USER)
    assert (page.balance, page.held) == (WELCOME - 2 * PRICE, 0)
