"""Courses of different runs beside each other, on tiny networks of the real kinds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch

from libs.diffusion.fast.levers import DeviceFacts, choose
from libs.diffusion.patches.freeu import FreeU
from libs.diffusion.placement import Placement
from libs.diffusion.residency import ModelCache
from libs.diffusion.torch_loader import TorchLoader
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.turns import Share, Turns
from tests.unit.libs.diffusion import layouts, tiny

SECONDS_MAX = 60
KINDS: dict[str, tuple[Callable[[], Any], int, int, int]] = {
    # What makes the tensors, the width of a text and of its summary, and the latent's channels.
    "sd1": (tiny.sd1, 64, 0, 4),
    "sd3": (
        lambda: layouts.sd3_tensors(layouts.sd3()),
        layouts.SD3["joint_attention_dim"],
        layouts.SD3["pooled_projection_dim"],
        16,
    ),
    "flux": (
        lambda: layouts.flux_tensors(layouts.flux()),
        layouts.FLUX_DEV["joint_attention_dim"],
        layouts.FLUX_DEV["pooled_projection_dim"],
        16,
    ),
}


def beside(loader: TorchLoader, turns: Turns) -> TorchLoader:
    """Return a loader of the same cache whose runs may be computed beside each other."""
    return replace(loader, profile="fast", turns=turns)


def texts(kind: str, seed: int) -> Conditioning:
    _, width, summary, _ = KINDS[kind]
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(1, summary, generator=generator) if summary else None
    context = torch.randn(1, 7, width, generator=generator)
    guided = {"guidance": float(seed + 1)} if kind == "flux" else {}
    return Conditioning((Entry(context, pooled=pooled, extras=guided),))


def sampled(model: Any, kind: str, seed: int, **more: Any) -> torch.Tensor:
    """Return one course; every seed has texts, steps and guidance of its own."""
    latent = tiny.loader().blank_latent(width=32, height=32, count=1, channels=KINDS[kind][3])
    given = {"sampler": "euler", "steps": 6 + 2 * seed, "cfg": 2.0 + seed, **more}
    drawn: torch.Tensor = model.sample(
        latent,
        positive=texts(kind, seed),
        negative=texts(kind, 100 + seed),
        seed=seed,
        scheduler="normal",
        on_step=tiny.no_step,
        **given,
    ).samples
    return drawn


def together(turns: Turns, *works: Callable[[], torch.Tensor]) -> list[tuple[torch.Tensor, Share]]:
    """Do all at once, as jobs of an engine."""
    barrier = threading.Barrier(len(works))

    def one(work: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Share]:
        with turns.joined() as share:
            barrier.wait()
            with turns.taken():
                return work(), share

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(one, work) for work in works]
        return [future.result(SECONDS_MAX) for future in futures]


@pytest.fixture
def loaders(tmp_path) -> tuple[TorchLoader, TorchLoader, Turns]:
    turns = Turns(4)
    exact = TorchLoader(Placement.cpu(), ModelCache(2**30))
    return exact, beside(exact, turns), turns


@pytest.mark.parametrize("kind", KINDS)
def test_runs_of_different_prompts_are_evaluated_together_and_stay_what_they_are_alone(
    tmp_path, loaders, kind
):
    exact, fast, turns = loaders
    path = tiny.written(tmp_path / "tiny.safetensors", KINDS[kind][0]())
    alone = exact.diffusion_model(path)
    expected = [sampled(alone, kind, seed) for seed in range(3)]
    # Each run opens the file for itself, as jobs do.
    models = [fast.diffusion_model(path) for _ in range(3)]
    runs = together(turns, *(lambda at=at: sampled(models[at], kind, at) for at in range(3)))
    for (drawn, share), wanted in zip(runs, expected, strict=True):
        assert torch.isfinite(drawn).all()
        assert (drawn - wanted).abs().max() < 1e-3
        assert share.asked > 0
    assert sum(share.together for _, share in runs) > 0
    # And nothing of it is left behind: the exact profile still repeats its bytes.
    assert torch.equal(sampled(alone, kind, 1), expected[1])


def test_a_patched_run_has_the_network_to_itself(tmp_path, loaders):
    exact, fast, turns = loaders
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    patch = FreeU(1.4, 1.6, 0.5, 0.3, False)
    alone = exact.diffusion_model(path)
    plain, patched = sampled(alone, "sd1", 1), sampled(alone.patched(patch), "sd1", 1)
    assert not torch.allclose(plain, patched, atol=1e-3)
    model = fast.diffusion_model(path)
    runs = together(
        turns,
        lambda: sampled(model, "sd1", 1),
        lambda: sampled(model.patched(patch), "sd1", 1),
        lambda: sampled(model, "sd1", 1),
    )
    (first, _), (second, share), (third, _) = runs
    assert (first - plain).abs().max() < 1e-3
    assert (second - patched).abs().max() < 1e-3
    assert (third - plain).abs().max() < 1e-3
    assert share.told() == "alone"


def test_samplers_of_every_kind_keep_to_their_own_latents(tmp_path, loaders):
    exact, fast, turns = loaders
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    samplers = ("euler_ancestral", "dpmpp_2m", "heun", "lcm")
    alone, model = exact.diffusion_model(path), fast.diffusion_model(path)
    wanted = [sampled(alone, "sd1", 2, sampler=name) for name in samplers]
    runs = together(
        turns, *(lambda name=name: sampled(model, "sd1", 2, sampler=name) for name in samplers)
    )
    for (drawn, _), expected in zip(runs, wanted, strict=True):
        assert (drawn - expected).abs().max() < 1e-3


def test_pictures_of_other_sizes_are_evaluated_for_themselves(tmp_path, loaders):
    exact, fast, turns = loaders
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    model, alone = fast.diffusion_model(path), exact.diffusion_model(path)

    def wide(of: Any) -> torch.Tensor:
        latent = tiny.loader().blank_latent(width=64, height=32, count=1)
        drawn: torch.Tensor = of.sample(
            latent,
            positive=texts("sd1", 1),
            negative=texts("sd1", 2),
            seed=1,
            steps=6,
            cfg=3.0,
            sampler="euler",
            scheduler="normal",
            on_step=tiny.no_step,
        ).samples
        return drawn

    (one, first), (other, second) = together(
        turns, lambda: wide(model), lambda: sampled(model, "sd1", 1)
    )
    assert first.told() == second.told() == "alone"
    assert (one - wide(alone)).abs().max() < 1e-3
    assert (other - sampled(alone, "sd1", 1)).abs().max() < 1e-3


def test_only_fast_runs_are_computed_beside_others(loaders):
    _, fast, turns = loaders
    assert fast.as_profile("exact").levers.turns is None
    levers = fast.levers
    assert (levers.turns, levers.step_cache, levers.compiles) == (turns, 0.0, False)
    gpu = choose("fast", DeviceFacts("cuda", (9, 0), compiler=True)).beside(turns)
    assert gpu.channels_last
    assert gpu.attention
    assert "step_cache" not in gpu.told()
