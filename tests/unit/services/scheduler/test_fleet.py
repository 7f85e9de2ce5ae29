"""Whose lease is void: the silent, the stopped, the replaced."""

from __future__ import annotations

from datetime import timedelta

import pytest

from libs.events.asks import LeaseAsk
from libs.events.worker import WorkerRegistered, WorkerStopped
from services.scheduler.domain.fleet import STOPPED_MAX, Fleet
from tests.unit.services.scheduler.told import ADA, NOON

NEW = "gpu0-new"


def later(seconds: float):
    return NOON + timedelta(seconds=seconds)


def fleet() -> Fleet:
    return Fleet(silence_seconds=30, since=NOON)


def registered(worker_id: str, slot: str = "gpu0") -> WorkerRegistered:
    return WorkerRegistered(
        worker_id=worker_id, slot=slot, device="cpu", backend="torch", vram_mib=1
    )


def ask(worker_id: str = ADA, **more) -> LeaseAsk:
    return LeaseAsk(
        worker_id=worker_id,
        slot="gpu0",
        backend="torch",
        vram_total_mib=8192,
        vram_free_mib=1,
        **more,
    )


@pytest.mark.parametrize(("seconds", "lost"), [(29.9, False), (30, True)])
def test_a_worker_is_lost_after_one_period_of_silence(seconds, lost):
    workers = fleet()
    workers.hear(ADA, later(100))
    assert bool(workers.lost(ADA, NOON, later(100 + seconds))) is lost


def test_a_new_lease_gives_a_full_period():
    assert fleet().lost(ADA, later(100), later(129)) == ""


def test_a_new_leader_gives_every_worker_a_full_period():
    workers = fleet()
    workers.hear(ADA, NOON)
    workers.judge_from(later(1000))
    assert workers.lost(ADA, NOON, later(1029)) == ""
    assert workers.lost(ADA, NOON, later(1030)) != ""


def test_a_newer_process_on_the_slot_ends_the_leases_of_the_older_at_once():
    workers = fleet()
    assert workers.evolve(registered(ADA)) == "gpu0"
    workers.hear(ADA, NOON)
    assert workers.lost(ADA, NOON, NOON) == ""
    workers.evolve(registered(NEW))
    assert "replaced" in workers.lost(ADA, NOON, NOON)
    assert workers.lost(NEW, NOON, NOON) == ""


def test_workers_of_other_slots_do_not_replace_each_other():
    workers = fleet()
    workers.evolve(registered(ADA))
    workers.evolve(registered("gpu1-bob", "gpu1"))
    assert workers.lost(ADA, NOON, NOON) == ""


def test_a_worker_that_stopped_loses_its_lease_at_once():
    workers = fleet()
    workers.hear(ADA, NOON)
    workers.evolve(WorkerStopped(worker_id=ADA, slot="gpu0", reason="drained"))
    assert "stopped" in workers.lost(ADA, NOON, NOON)


def test_what_the_fleet_can_do_is_unknown_while_a_living_worker_has_not_said_it():
    workers = fleet()
    assert workers.known_offers(NOON) == []
    workers.offered(ask(weights=("vae/a",)), NOON)
    assert [offer.worker_id for offer in workers.known_offers(NOON) or ()] == [ADA]
    workers.hear("gpu1-bob", NOON)
    assert workers.known_offers(NOON) is None
    assert workers.known_offers(later(31)) == []


def test_only_so_many_stopped_workers_are_remembered():
    workers = fleet()
    for number in range(STOPPED_MAX + 5):
        workers.evolve(WorkerStopped(worker_id=f"gpu0-{number}", slot="gpu0", reason="drained"))
    assert workers.lost("gpu0-0", NOON, NOON) == ""
    assert workers.lost(f"gpu0-{STOPPED_MAX + 4}", NOON, NOON) != ""
