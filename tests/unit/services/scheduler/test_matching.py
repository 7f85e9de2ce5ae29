"""Who gets the next worker: fair, in order, and only what the worker can execute."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given as anything
from hypothesis import settings
from hypothesis import strategies as st

from libs.graph.architectures import least_vram_mib
from services.scheduler.domain.matching import LOOKAHEAD, Offer, Waiting, WaitingRoom, obstacle
from tests.unit.services.scheduler.told import NOON

SDXL = "checkpoints/sdxl_base_1.0.safetensors"
FLUX = "checkpoints/flux1-dev.safetensors"
BIG = Offer("gpu0-a", 24_576, frozenset({SDXL, FLUX}))
WARM_FLUX = Offer("gpu1-b", 24_576, frozenset({SDXL, FLUX}), frozenset({FLUX}))


def wait(number: int, tenant: str = "t", tier: str = "free", **more) -> Waiting:
    since = more.pop("since", NOON + timedelta(milliseconds=number))
    return Waiting(f"p{number}", tenant, tier, number, since, **more)


def room(*waiting: Waiting) -> WaitingRoom:
    made = WaitingRoom()
    for one in waiting:
        made.add(one)
    return made


def drained(made: WaitingRoom, offer: Offer = BIG) -> list[str]:
    order: list[str] = []
    while (found := made.pick(offer)) is not None:
        made.take(found, NOON + timedelta(minutes=1, seconds=len(order)))
        order.append(found.prompt_id)
    return order


@pytest.mark.covers("R007", "R262")
def test_a_tenants_runs_go_in_the_order_of_their_numbers():
    assert drained(room(wait(3), wait(1), wait(2))) == ["p1", "p2", "p3"]


@pytest.mark.covers("R262")
def test_better_tiers_go_first():
    made = room(wait(1), wait(2, "u", "pro"), wait(3, "v", "enterprise"))
    assert drained(made) == ["p3", "p2", "p1"]


@pytest.mark.covers("R262")
def test_a_run_that_waited_longer_than_the_head_start_goes_before_a_better_tier():
    patient = wait(1)
    later = wait(2, "u", "enterprise", since=NOON + timedelta(seconds=121))
    assert drained(room(patient, later)) == ["p1", "p2"]


def test_tenants_of_one_tier_take_turns():
    made = room(wait(1, "a"), wait(2, "a"), wait(3, "a"), wait(4, "b"), wait(5, "c"))
    assert drained(made) == ["p1", "p4", "p5", "p2", "p3"]


def test_a_newcomer_queues_behind_the_tenants_that_wait():
    made = room(wait(1, "a"), wait(2, "a"), wait(3, "b"))
    made.take(wait(1, "a"), NOON + timedelta(seconds=1))
    made.add(wait(4, "new", since=NOON + timedelta(seconds=2)))
    assert drained(made) == ["p3", "p2", "p4"]


def test_the_front_is_before_the_others_and_the_newest_front_first():
    made = room(wait(1), wait(2), wait(3, front=True), wait(4, front=True))
    assert drained(made) == ["p4", "p3", "p1", "p2"]


def test_a_place_that_the_client_chose_counts_inside_its_tenant():
    assert drained(room(wait(5), wait(6, priority=-1.0), wait(7, priority=5.5))) == [
        "p6",
        "p5",
        "p7",
    ]


@pytest.mark.covers("R263", "R267")
@pytest.mark.parametrize(("vram_mib", "fits"), [(24_575, True), (24_576, True), (24_577, False)])
def test_a_run_that_needs_just_what_the_worker_has_fits(vram_mib, fits):
    assert (room(wait(1, vram_mib=vram_mib)).pick(BIG) is not None) is fits


@pytest.mark.covers("R263", "R268")
def test_a_run_waits_for_a_worker_that_holds_its_weights():
    made = room(wait(1, needs=("loras/pixel.safetensors",)))
    assert made.pick(BIG) is None
    holder = Offer("gpu2-c", 8192, frozenset({"loras/pixel.safetensors"}))
    assert made.pick(holder) is not None


@pytest.mark.covers("R268")
def test_what_does_not_fit_here_does_not_block_what_does():
    made = room(wait(1, vram_mib=99_999), wait(2, "u", vram_mib=1))
    assert drained(made) == ["p2"]
    assert ("t", "p1") in made


def test_a_run_that_fits_nobody_here_gives_its_tier_no_precedence():
    made = room(
        wait(1, "x", "enterprise", vram_mib=99_999),
        wait(2, "u", since=NOON - timedelta(minutes=9)),
        wait(3, "x", "enterprise"),
    )
    assert drained(made) == ["p2", "p3"]


@pytest.mark.covers("R266")
def test_warm_weights_go_first_inside_a_tenant():
    made = room(wait(1, needs=(SDXL,)), wait(2, needs=(FLUX,)))
    assert drained(made, WARM_FLUX) == ["p2", "p1"]


def test_warm_weights_do_not_overtake_another_tenant():
    made = room(wait(1, "a", needs=(SDXL,)), wait(2, "b", needs=(FLUX,)))
    assert drained(made, WARM_FLUX) == ["p1", "p2"]


@pytest.mark.covers("R266")
def test_a_run_goes_to_the_worker_that_is_warm_even_if_another_asked_before():
    match = room(wait(1, needs=(FLUX,))).match([BIG, WARM_FLUX])
    assert match is not None
    assert match.offer is WARM_FLUX


@pytest.mark.covers("R266", "R267")
def test_a_run_does_not_wait_for_a_warm_worker_that_is_busy():
    match = room(wait(1, needs=(FLUX,))).match([BIG])
    assert match is not None
    assert match.offer is BIG


def test_a_cold_run_is_overtaken_only_so_often():
    made = room(wait(0, needs=(SDXL,)), *(wait(n, needs=(FLUX,)) for n in range(1, 100)))
    assert drained(made, WARM_FLUX).index("p0") == LOOKAHEAD - 1


def test_the_same_run_waits_once():
    made = room(wait(1), wait(1))
    assert len(made) == 1
    assert drained(made) == ["p1"]


@pytest.mark.covers("R268")
def test_an_obstacle_names_what_no_worker_has():
    assert (
        obstacle(wait(1, needs=("vae/x.safetensors",)), [BIG])
        == "no worker holds vae/x.safetensors"
    )
    assert obstacle(wait(1, vram_mib=24_577), [BIG]) == (
        "it needs 24577 MiB, the largest worker has 24576 MiB"
    )
    small = Offer("gpu3-d", 1024, frozenset({SDXL}))
    large = Offer("gpu4-e", 8192)
    assert "both" in obstacle(wait(1, needs=(SDXL,), vram_mib=4096), [small, large])
    assert obstacle(wait(1, vram_mib=24_576), [BIG]) == ""
    assert obstacle(wait(1, vram_mib=99_999), []) == ""


@pytest.mark.covers("R117")
def test_a_worker_below_the_least_memory_of_a_model_is_not_given_it_and_the_reason_is_said():
    least = least_vram_mib(["checkpoints/v1-5-pruned-emaonly.safetensors"])
    waiting = wait(1, vram_mib=least)
    small, enough = Offer("gpu0-a", least - 1), Offer("gpu1-b", least)
    assert not small.fits(waiting)
    assert enough.fits(waiting)
    told = f"it needs {least} MiB, the largest worker has {least - 1} MiB"
    assert obstacle(waiting, [small]) == told
    assert obstacle(waiting, [small, enough]) == ""


@pytest.mark.covers("R061")
def test_a_run_goes_only_to_a_worker_with_an_engine_that_can_execute_it():
    torch = Offer("gpu0-a", 24_576, engine="torch")
    portable = Offer("mac0-b", 24_576, engine="portable")
    for engines, takers in (((), [torch, portable]), (("torch",), [torch])):
        run = wait(1, engines=engines)
        assert [offer for offer in (torch, portable) if offer.fits(run)] == takers
    assert obstacle(wait(1, engines=("torch",)), [portable]) == "no worker has the engine torch"
    assert obstacle(wait(1, engines=("torch",)), [portable, torch]) == ""


runs = st.lists(
    st.tuples(
        st.sampled_from(["free", "pro", "enterprise"]),
        st.sampled_from("abcd"),
        st.sampled_from([(), (SDXL,), (FLUX,)]),
    ),
    min_size=1,
    max_size=80,
)


@pytest.mark.covers("R262")
@settings(deadline=None)
@anything(runs)
def test_inside_a_tenant_and_tier_nobody_is_overtaken_by_more_than_the_window(kinds):
    waiting = [
        wait(number, tenant, tier, needs=needs)
        for number, (tier, tenant, needs) in enumerate(kinds)
    ]
    order = drained(room(*waiting), WARM_FLUX)
    assert sorted(order) == sorted(one.prompt_id for one in waiting)
    for one in waiting:
        before = order[: order.index(one.prompt_id)]
        overtakers = [
            other
            for other in waiting
            if (other.tenant, other.tier) == (one.tenant, one.tier)
            and other.number > one.number
            and other.prompt_id in before
        ]
        assert len(overtakers) < LOOKAHEAD


@settings(deadline=None)
@anything(runs)
def test_without_warm_weights_a_tenants_runs_of_a_tier_keep_their_order(kinds):
    waiting = [wait(number, tenant, tier) for number, (tier, tenant, _) in enumerate(kinds)]
    order = drained(room(*waiting))
    for tenant, tier in {(one.tenant, one.tier) for one in waiting}:
        own = [one.prompt_id for one in waiting if (one.tenant, one.tier) == (tenant, tier)]
        assert [prompt_id for prompt_id in order if prompt_id in own] == own


@pytest.mark.covers("R262")
@settings(deadline=None, max_examples=25)
@anything(st.lists(st.sampled_from(["pro", "enterprise"]), min_size=400, max_size=400))
def test_no_stream_of_better_tiers_and_new_tenants_starves_a_run(arrivals):
    made = room(wait(0, "poor"))
    for second, tier in enumerate(arrivals, start=1):
        # Twice as much arrives as is served, always from tenants that were never served.
        for half in (0, 1):
            number = 2 * second + half
            made.add(wait(number, f"rich{number}", tier, since=NOON + timedelta(seconds=second)))
        found = made.pick(BIG)
        assert found is not None
        made.take(found, NOON + timedelta(seconds=second))
        if found.prompt_id == "p0":
            break
    assert ("t", "p0") not in made


def busy(worker_id: str, beside: int, vram_mib: int = 0, *weights: str, **more) -> Offer:
    return Offer(
        worker_id,
        24_576,
        frozenset({SDXL, FLUX}),
        beside=beside,
        beside_vram_mib=vram_mib,
        beside_weights=frozenset(weights),
        **more,
    )


def test_of_equal_workers_the_one_that_executes_less_gets_the_run():
    match = room(wait(1)).match([busy("gpu0-a", 2), busy("gpu1-b", 0), busy("gpu2-c", 1)])
    assert match is not None
    assert match.offer.worker_id == "gpu1-b"


def test_a_warm_worker_goes_before_an_idle_one():
    warm = busy("gpu0-a", 1, 8192, SDXL, warm=frozenset({SDXL}))
    match = room(wait(1, needs=(SDXL,), vram_mib=8192)).match([busy("gpu1-b", 0), warm])
    assert match is not None
    assert match.offer.worker_id == "gpu0-a"


@pytest.mark.parametrize(
    ("needs", "vram_mib", "gets_it"),
    [((SDXL,), 8192, True), ((FLUX,), 8192, True), ((FLUX,), 20_000, False)],
)
def test_a_run_goes_beside_others_where_its_weights_are_shared_or_have_room(
    needs, vram_mib, gets_it
):
    made = room(wait(1, needs=needs, vram_mib=vram_mib))
    assert (made.pick(busy("gpu0-a", 1, 8192, SDXL)) is not None) is gets_it
    # The worker could execute it once it is free, so the run has no obstacle.
    assert obstacle(wait(1, needs=needs, vram_mib=vram_mib), [busy("gpu0-a", 1, 8192, SDXL)]) == ""


def test_a_run_that_has_no_room_lets_the_next_one_go_first():
    made = room(wait(1, needs=(FLUX,), vram_mib=20_000), wait(2, needs=(SDXL,), vram_mib=8192))
    found = made.pick(busy("gpu0-a", 1, 8192, SDXL))
    assert found is not None
    assert found.prompt_id == "p2"


@pytest.mark.covers("R030")
def test_a_run_with_node_types_of_a_pack_goes_to_a_worker_that_has_it():
    made = room(wait(1, node_types=("Theirs", "Others")), wait(2))
    half = replace(BIG, node_types=frozenset({"Theirs"}))
    assert drained(made, half) == ["p2"]
    assert drained(made, replace(BIG, node_types=frozenset({"Theirs", "Others", "More"}))) == ["p1"]


def test_it_is_told_when_no_worker_has_the_pack():
    said = obstacle(wait(1, node_types=("Theirs",)), [BIG])
    assert said == "no worker has node packs with Theirs"
    assert (
        obstacle(wait(1, node_types=("Theirs",)), [replace(BIG, node_types=frozenset({"Theirs"}))])
        == ""
    )
