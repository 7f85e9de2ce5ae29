"""Models in memory are shared, bounded and let go of."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from libs.diffusion.offload import size_bytes
from libs.diffusion.residency import ModelCache, Resident
from tests.unit.libs.diffusion import tiny


class Counted:
    """Makes networks of one kilobyte and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Any:
        self.made += 1
        return nn.Linear(256, 1, bias=False)


def test_a_network_is_loaded_once_and_shared():
    make, cache = Counted(), ModelCache(10_000)
    first, second = Resident(cache, "a", make), Resident(cache, "a", make)
    assert first.get() is second.get()
    assert make.made == 1
    assert cache.bytes_used == 1024


def test_the_longest_unused_goes_first_when_the_bound_is_reached():
    make, cache = Counted(), ModelCache(2500)
    for key in ("a", "b", "a", "c"):
        cache.get(key, make)
    assert cache.keys() == ("a", "c")
    assert cache.bytes_used <= cache.bytes_max


def test_a_network_larger_than_the_bound_is_kept_alone():
    make, cache = Counted(), ModelCache(10)
    cache.get("a", make)
    cache.get("a", make)
    assert make.made == 1
    cache.get("b", make)
    assert cache.keys() == ("b",)


def test_a_value_outlives_the_eviction_of_its_network(tmp_path):
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    loader = tiny.loader()
    clip = loader.checkpoint(path)[1]
    before = clip.encode("a fox").entries[0].context
    assert loader.cache.bytes_used > 0
    loader.free()
    assert loader.cache.bytes_used == 0
    assert torch.equal(before, clip.encode("a fox").entries[0].context)


def test_a_file_replaced_under_its_name_is_loaded_anew(tmp_path):
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    loader = tiny.loader()
    before = loader.checkpoint(path)[1].encode("a fox").entries[0].context
    changed = {name: tensor * 1.5 for name, tensor in tiny.sd1().items()}
    tiny.written(path, changed | {"note": torch.zeros(1)})
    after = loader.checkpoint(path)[1].encode("a fox").entries[0].context
    assert not torch.equal(before, after)


def test_the_size_counts_parameters_and_buffers():
    network = nn.BatchNorm1d(4)
    assert size_bytes(network) == 4 * 4 * 4 + 8
