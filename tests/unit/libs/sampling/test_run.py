"""A course is walked from noise to latent, and heard of on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from libs.diffusion.noise import TorchNoise, mask_in_cells
from libs.sampling.course import Course
from libs.sampling.levels import Chain, Flow
from libs.sampling.run import Route, Start, follow, walk
from libs.sampling.samplers import SAMPLERS, Sampler
from tests.unit.libs.sampling.paths import PathNoise

LEVELS = Chain()
LIKE = np.zeros((2, 4, 4, 4), np.float32)
NOISE = PathNoise(0)
# Torch draws its Brownian paths by a library of its own.
ALONG_A_PATH = {name for name in SAMPLERS if name.startswith("dpmpp") and "sde" in name}


class Guide:
    """Sees a part of what it is shown, and one more without the text."""

    def __call__(self, x, sigma) -> Any:
        return x * 0.3 - 1.0

    def both(self, x, sigma) -> Any:
        return x * 0.3 - 1.0, x * 0.3 + 1.0


def nobody(done, total, seen) -> None: ...


def start(mask=None, latent=LIKE) -> Any:
    return Start(latent=latent, mask=mask, noise=NOISE)


def route(name="euler", sigmas=(10.0, 5.0, 1.0, 0.0), **changed) -> Any:
    return Route(sampler=SAMPLERS[name], sigmas=list(sigmas), seed=1, **changed)


def course(**changed) -> Any:
    given: dict[str, Any] = {
        "seed": 1,
        "steps": 4,
        "cfg": 2.0,
        "sampler": "euler",
        "scheduler": "karras",
    }
    return Course(**(given | changed))


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_each_level_is_heard_of_once_and_in_order(name):
    heard = []
    follow(
        route(name), start(), LEVELS, Guide(), lambda done, total, _: heard.append((done, total))
    )
    assert [done for done, _ in heard] == sorted({done for done, _ in heard})
    assert heard[-1] == (3, 3)


def test_what_is_heard_of_is_the_first_look_of_each_step():
    seen, looks = [], []

    class Watching(Guide):
        def __call__(self, x, sigma) -> Any:
            looks.append((sigma, super().__call__(x, sigma)))
            return looks[-1][1]

    follow(route("heun"), start(), LEVELS, Watching(), lambda *heard: seen.append(heard[2]))
    assert [sigma for sigma, _ in looks] == [10.0, 5.0, 5.0, 1.0, 1.0]
    assert all(given is looks[at][1] for given, at in zip(seen, (0, 2, 4), strict=True))


def test_nothing_to_walk_is_none():
    assert walk(course(denoise=0.0), start(), LEVELS, Guide(), nobody) is None


def test_a_course_starts_from_the_seeds_noise():
    seen = []

    def watch(trail, x) -> Any:
        seen.append(x)
        return x

    watching = Sampler(watch)
    begun = Route(sampler=watching, sigmas=[10.0, 0.0], seed=7)
    follow(begun, start(), LEVELS, Guide(), nobody)
    assert np.allclose(seen[0], NOISE.starting(LIKE, 7) * 10.0)
    follow(
        Route(sampler=watching, sigmas=[10.0, 0.0], seed=7, add_noise=False),
        start(),
        LEVELS,
        Guide(),
        nobody,
    )
    assert not seen[1].any()


def test_the_kept_part_of_a_masked_latent_comes_back_unchanged():
    latent = np.random.default_rng(1).normal(size=LIKE.shape).astype(np.float32)
    mask = np.zeros_like(latent)
    mask[..., :2] = 1
    for name in ("euler", "ddim"):
        end: Any = walk(course(sampler=name), start(mask, latent), LEVELS, Guide(), nobody)
        assert np.allclose(end[..., 2:], latent[..., 2:], atol=1e-5)
        assert not np.allclose(end[..., :2], latent[..., :2], atol=0.1)


def test_a_flow_that_stops_early_is_scaled_back():
    resting = Sampler(lambda trail, x: x)
    latent = LIKE + 1
    stopped = Route(sampler=resting, sigmas=[0.5, 0.5], seed=1, add_noise=False)
    end: Any = follow(stopped, start(latent=latent), Flow(), Guide(), nobody)
    assert np.allclose(end, latent)


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - ALONG_A_PATH))
def test_torch_and_numpy_arrive_at_the_same_latent(name):
    begun = Start(latent=torch.zeros(LIKE.shape), mask=None, noise=TorchNoise(0))
    by_torch: Any = follow(route(name), begun, LEVELS, Guide(), nobody)
    by_numpy: Any = follow(route(name), start(), LEVELS, Guide(), nobody)
    assert np.allclose(by_torch.numpy(), by_numpy, atol=1e-4)


def test_a_mask_takes_the_shape_of_the_latent():
    mask = torch.zeros(1, 16, 16)
    mask[:, :8] = 1
    cells = mask_in_cells(mask, torch.zeros(3, 4, 2, 2))
    assert cells.shape == (3, 4, 2, 2)
    assert cells[:, :, 0].eq(1).all()
    assert cells[:, :, 1].eq(0).all()
    assert mask_in_cells(mask, torch.zeros(1, 16, 5, 2, 2)).shape == (1, 16, 5, 2, 2)
