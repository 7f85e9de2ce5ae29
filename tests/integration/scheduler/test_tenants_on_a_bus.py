"""Tenants whose prompts have the same id, which each of them may choose."""

from __future__ import annotations

import pytest

from tests.integration.scheduler.house import House, tell, until
from tests.integration.scheduler.test_scheduler_on_a_bus import SUCCESS
from tests.unit.services.scheduler import told


def of(house: House, tenant: str) -> list[str]:
    """Return what was written about a tenant's prompt of the id that another one chose too."""
    return [type(event).__name__ for event in house.bus.journal_events(f"evt.v1.{tenant}.run.p1")]


@pytest.mark.covers("P14")
async def test_two_tenants_may_choose_the_same_id_and_each_has_a_run_of_its_own():
    house = House()
    async with house.scheduler():
        await house.submit("p1", tenant="t")
        await house.submit("p1", tenant="u")
        await until(lambda: of(house, "t") and of(house, "u"))
        first, second = await house.lease(), await house.lease(told.BOB)
        assert {first.tenant, second.tenant} == {"t", "u"}
        await tell(house.bus, told.cancel, tenant=second.tenant)
        await house.work(first)
        await until(lambda: "RunEnded" in of(house, first.tenant))
        assert of(house, first.tenant) == SUCCESS
        assert "RunEnded" not in of(house, second.tenant)
