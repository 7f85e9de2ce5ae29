"""The same seed gives the same noise, with torch and without."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from libs.diffusion.noise import TorchNoise
from libs.sampling.noise import COMPATIBILITY_CPU_NOISE
from libs.sampling.numpy_noise import NumpyNoise, TorchStream
from tests.unit.libs.sampling.paths import PathNoise

SEEDS = (0, 42, 2**32 + 5, 2**64 - 1)
LIKE = torch.zeros(3, 4, 8, 8)


@pytest.mark.parametrize("seed", SEEDS)
def test_starting_noise_is_drawn_for_the_whole_batch_and_for_any_seed(seed):
    known = torch.randn(LIKE.shape, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(TorchNoise(0).starting(LIKE, seed), known)


def test_a_picture_of_a_batch_keeps_its_noise_when_it_is_alone():
    alone = TorchNoise(0).starting(LIKE[:2], 42, batch_index=(2, 0))
    generator = torch.Generator().manual_seed(42)
    each = [torch.randn(1, 4, 8, 8, generator=generator) for _ in range(3)]
    assert torch.equal(alone, torch.cat([each[2], each[0]]))


@pytest.mark.covers("R107")
def test_ancestral_noise_is_the_seeds_own_stream():
    draw = TorchNoise(0).steps(5, LIKE)
    known = torch.Generator().manual_seed(5)
    for _ in range(3):
        assert torch.equal(draw(), torch.randn(LIKE.shape, generator=known))
    later = TorchNoise(COMPATIBILITY_CPU_NOISE).steps(5, LIKE)
    assert torch.equal(later(), TorchNoise(0).starting(LIKE, 6))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (3, 7, 5), (1, 1, 2, 2), (3,), (16,)])
def test_torchs_numbers_come_without_torch(seed, shape):
    generator, stream = torch.Generator().manual_seed(seed), TorchStream(seed)
    for _ in range(2):
        wanted = torch.randn(shape, generator=generator).numpy()
        assert np.abs(stream.normal(shape) - wanted).max() < 1e-6


@pytest.mark.parametrize("compatibility", [0, COMPATIBILITY_CPU_NOISE])
def test_both_engines_draw_the_same(compatibility):
    for_torch, for_numpy = TorchNoise(compatibility), NumpyNoise(compatibility)
    like = LIKE.numpy()
    for wanted, given in (
        (for_torch.starting(LIKE, 9), for_numpy.starting(like, 9)),
        (for_torch.starting(LIKE, 9, (1, 1, 0)), for_numpy.starting(like, 9, (1, 1, 0))),
        (for_torch.steps(9, LIKE)(), for_numpy.steps(9, like)()),
    ):
        assert np.abs(wanted.numpy() - given).max() < 1e-6


@pytest.mark.parametrize(("source", "like"), [(TorchNoise(0), LIKE), (PathNoise(0), LIKE.numpy())])
def test_a_brownian_path_fits_together(source, like):
    between = source.brownian(3, like, 0.1, 10.0, on_cpu=True)
    whole = between(10.0, 1.0) * 9.0**0.5
    parts = between(10.0, 4.0) * 6.0**0.5 + between(4.0, 1.0) * 3.0**0.5
    assert np.allclose(whole, parts, atol=1e-3)
    assert float(between(10.0, 4.0).std()) == pytest.approx(1.0, abs=0.1)
    again = source.brownian(3, like, 0.1, 10.0, on_cpu=True)
    assert np.allclose(whole, again(10.0, 1.0) * 9.0**0.5)
