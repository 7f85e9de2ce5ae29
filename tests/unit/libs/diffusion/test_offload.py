"""A network that does not fit its device computes all the same, and gives the same numbers."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from libs.core.errors import Refused
from libs.diffusion import memory, offload
from libs.diffusion.memory import place
from libs.diffusion.offload import lodge, pieces, size_bytes, slots_of, staying
from libs.diffusion.precision import stored
from libs.diffusion.residency import ModelCache, Resident
from tests.unit.libs.diffusion import tiny

CPU = torch.device("cpu")
SIZES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 1000), max_size=9)


@settings(deadline=None, max_examples=200)
@given(SIZES, st.integers(0, 6000), st.integers(0, 500))
def test_what_stays_leaves_room_for_what_visits(sizes, free, reserve):
    stay = staying(sizes, free, reserve)
    used = sum(sizes[name] for name in stay)
    visitor = max((size for name, size in sizes.items() if name not in stay), default=0)
    assert stay <= set(sizes)
    if stay:
        assert used + reserve + (2 * visitor if visitor else 0) <= free
    if sum(sizes.values()) + reserve <= free:
        assert stay == set(sizes)


def test_as_many_bytes_stay_as_can():
    sizes = {"a": 10, "b": 40, "c": 20, "d": 30}
    assert staying(sizes, 120, 20) == {"a", "b", "c", "d"}
    # Two of the smallest must fit beside the others.
    assert staying(sizes, 99, 0) == {"a"}
    assert staying({"a": 10, "b": 10, "c": 100}, 100, 0) == frozenset()
    assert staying({"a": 10, "b": 10, "c": 100}, 119, 0) == frozenset()
    assert staying({"a": 10, "b": 10, "c": 100}, 130, 10) == {"a", "b", "c"}
    assert staying({}, 0, 100) == frozenset()


@dataclass
class FakeMemory:
    """A device with as much room as the test says."""

    free: int
    reserve_bytes: int = 0
    observed: list[nn.Module] = field(default_factory=list)

    def free_bytes(self) -> int:
        return self.free

    def observe(self, network: nn.Module) -> None:
        self.observed.append(network)


def unet() -> UNet2DConditionModel:
    torch.manual_seed(1)
    return UNet2DConditionModel(**tiny.SD1_UNET).eval().requires_grad_(requires_grad=False)


@torch.inference_mode()
def output(network: UNet2DConditionModel) -> Any:
    torch.manual_seed(2)
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 64)
    return network(x, torch.tensor(500.0), context, return_dict=False)[0]


def lodged(network: Any, free: int, bytes_max: int = 100_000):
    moving = pieces(network, bytes_max)
    sizes = {name: size_bytes(piece) for name, piece in moving.items()}
    fixed = size_bytes(network) - sum(sizes.values())
    return lodge(network, CPU, staying(sizes, free - fixed, 0), moving), sizes


def test_the_pieces_of_a_network_are_its_layers_and_none_is_in_another():
    network = unet()
    moving = pieces(network, 100_000)
    modules = dict(network.named_modules())
    assert all(modules[name] is piece for name, piece in moving.items())
    assert not any(
        outer != inner and inner.startswith(f"{outer}.") for outer in moving for inner in moving
    )
    assert sum(map(size_bytes, moving.values())) == size_bytes(network)
    assert all(
        size_bytes(piece) <= 100_000 or not list(piece.children()) for piece in moving.values()
    )


@pytest.mark.covers("R113")
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("storage", ["default", "int8"])
def test_a_network_that_visits_its_device_gives_the_same_numbers(share, storage):
    expected = output(stored(unet(), storage))
    network = stored(unet(), storage)
    homes = [id(slot.tensor) for slot in slots_of(network)]
    whole = size_bytes(network)
    itinerary, sizes = lodged(network, int(whole * share))
    assert itinerary.visiting
    for _ in range(3):
        assert torch.equal(output(network), expected)
    assert [id(slot.tensor) for slot in slots_of(network)] == homes
    moving = sum(sizes[name] for name in itinerary.visiting)
    assert moving <= whole * (1 - share) + 2 * max(sizes.values())
    # Each pass brings each piece once; the last has begun to bring the first of the next.
    first = max(sizes.values())
    assert 3 * moving <= itinerary.moved_bytes <= 3 * moving + first
    assert len(itinerary.present) <= 1


def test_at_most_two_pieces_visit_at_a_time():
    network = unet()
    itinerary, _ = lodged(network, 0)
    seen: list[int] = []
    for name in itinerary.visiting:
        piece = network.get_submodule(name)
        piece.register_forward_pre_hook(lambda *_: seen.append(len(itinerary.present)))
    output(network)
    output(network)
    assert max(seen) == offload.VISITORS


def test_what_computes_is_a_copy_and_what_fails_goes_home():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    homes = [slot.tensor for slot in slots_of(network)]
    lodged(network, 0, 1)
    seen: list[bool] = []

    def look(module: nn.Module, _given: object) -> None:
        seen.append(module.weight is homes[0])
        raise ArithmeticError

    network[0].register_forward_pre_hook(look)
    with pytest.raises(ArithmeticError):
        network(torch.ones(1, 4))
    handle = network[1].register_forward_pre_hook(lambda *_: None)
    handle.remove()
    assert seen == [False]


def test_a_weight_that_is_replaced_between_two_steps_is_the_one_that_visits():
    network: Any = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    lodged(network, 0, 1)
    x = torch.ones(1, 4)
    for _ in range(2):
        network(x)
    doubled = nn.Parameter(network[0].weight.detach() * 2, requires_grad=False)
    expected = network[1](x @ doubled.T)
    network[0].weight = doubled
    assert torch.allclose(network(x), expected)
    assert network[0].weight is doubled


def test_a_copy_with_changed_weights_visits_as_the_network_does():
    network: Any = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    x = torch.ones(1, 4)
    expected = network(x)
    itinerary, _ = lodged(network, 0, 1)
    network(x)
    held = {id(slot.tensor): slot.tensor for slot in slots_of(network)}
    changed = copy.deepcopy(network, dict(held))
    changed[1].weight = nn.Parameter(network[1].weight * 3, requires_grad=False)
    for _ in range(3):
        assert torch.allclose(changed(x), expected * 3)
        assert torch.equal(network(x), expected)
    assert changed[0].weight is network[0].weight
    before = itinerary.moved_bytes
    changed(x)
    assert itinerary.moved_bytes > before
    placed = place(changed, CPU, FakeMemory(10_000), 10_000)
    assert placed.network is changed


def test_weights_that_two_layers_share_are_counted_and_moved_once():
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    network[1].weight = network[0].weight
    assert size_bytes(network) == 64
    x = torch.ones(1, 4)
    expected = network(x)
    lodged(network, 0, 1)
    assert torch.equal(network(x), expected)
    assert network[1].weight is network[0].weight


def test_a_network_is_put_whole_where_it_fits_and_in_part_where_it_does_not(monkeypatch):
    monkeypatch.setattr(offload, "PIECE_BYTES_MAX", 100_000)
    monkeypatch.setattr(offload.pieces, "__defaults__", (100_000,))
    whole = size_bytes(unet())
    roomy, tight = FakeMemory(whole + 100, 100), FakeMemory(whole // 2, 100)
    assert place(unet(), CPU, None, 0).bytes_used == whole
    assert place(unet(), CPU, roomy, whole).bytes_used == whole
    placed = place(unet(), CPU, tight, whole)
    assert placed.bytes_used <= whole // 2 - 100
    assert tight.observed == [placed.network]
    assert torch.equal(output(placed.network), output(unet()))
    bounded = place(unet(), CPU, FakeMemory(10 * whole, 100), whole // 2)
    assert bounded.bytes_used <= whole // 2
    with pytest.raises(Refused, match="one layer at a time"):
        place(unet(), CPU, FakeMemory(1000), whole)


def test_a_vae_is_used_without_calling_it_and_is_lodged_all_the_same(monkeypatch):
    torch.manual_seed(1)
    vae = AutoencoderKL(**tiny.VAE).eval()
    latent = torch.randn(1, 4, 4, 4)
    with torch.inference_mode():
        expected = vae.decode(latent, return_dict=False)[0]
        itinerary, _ = lodged(vae, 0, 10_000)
        assert itinerary.visiting
        assert torch.equal(vae.decode(latent, return_dict=False)[0], expected)


def test_the_longest_unused_makes_room_on_the_device_before_anything_is_moved():
    network_bytes = 1024
    room = FakeMemory(10_000, 100)
    cache = ModelCache(100_000, room)

    def make() -> nn.Module:
        return nn.Linear(256, 1, bias=False)

    first = Resident(cache, "a", make, CPU)
    second = Resident(cache, "b", make, CPU)
    first.get()
    second.get()
    assert cache.keys() == ("a", "b")
    room.free = network_bytes // 2
    with pytest.raises(Refused):
        Resident(cache, "c", make, CPU).get()
    assert cache.keys() == ()
    room.free = 10_000
    assert Resident(cache, "c", make, CPU).get() is not None
    assert cache.bytes_used == network_bytes


def test_the_memory_that_a_network_needs_beside_its_weights_is_measured(monkeypatch):
    """The counters of the GPU are played; what is made of them is ours."""
    counters = {"allocated": 1000, "peak": 5000}
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "memory_allocated", lambda _: counters["allocated"])
    monkeypatch.setattr(cuda, "max_memory_allocated", lambda _: counters["peak"])
    monkeypatch.setattr(cuda, "memory_reserved", lambda _: 1500)
    monkeypatch.setattr(cuda, "mem_get_info", lambda _: (7000, 10_000))
    room = memory.CudaMemory(torch.device("cuda", 0), reserve_bytes=10)
    assert room.free_bytes() == 7500
    network = nn.Sequential(nn.Linear(1, 1))
    room.observe(network)
    network(torch.ones(1, 1))
    assert room.reserve_bytes == 10
    network[0].register_forward_pre_hook(lambda *_: counters.update(peak=9000))
    network(torch.ones(1, 1))
    assert room.reserve_bytes == 8000
