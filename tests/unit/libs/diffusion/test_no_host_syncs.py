"""The loop of a course never waits for its device.

It is walked with tensors that have no numbers: whoever asks one for its number, or decides by
one, raises. A copy from the host waits as well, and is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from libs.diffusion.placement import Placement
from libs.diffusion.residency import ModelCache
from libs.diffusion.torch_loader import TorchLoader
from libs.sampling.conditioning import Area, Conditioning, Entry, Painted
from libs.sampling.control import Call
from libs.sampling.course import Course
from libs.sampling.guidance import Guided
from libs.sampling.levels import Chain, Flow, Levels
from libs.sampling.run import Start, walk
from libs.sampling.samplers import SAMPLERS
from tests.unit.libs.diffusion import layouts, tiny

NOWHERE = torch.device("meta")
# Its steps are as long as its error allows, which somebody has to look at.
ADAPTIVE = {"dpm_adaptive"}


class Nothing:
    """Noise without numbers."""

    def starting(self, like: Tensor, seed: int, batch_index: Sequence[int] | None = None) -> Tensor:
        return torch.empty_like(like)

    def steps(self, seed: int, like: Tensor) -> Any:
        return lambda: torch.empty_like(like)

    def brownian(self, seed: int, like: Tensor, low: float, high: float, *, on_cpu: bool) -> Any:
        return lambda here, there: torch.empty_like(like)


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]  # Torch's own has no types.
    """Counts what is copied from the host."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.device == NOWHERE:
            given = [one for one in args if isinstance(one, Tensor)]
            self.count += any(one.device.type == "cpu" and one.ndim for one in given)
        return made


def said(tokens: int = 7, width: int = 8, **more: Any) -> Conditioning:
    return Conditioning((Entry(torch.empty(1, tokens, width, device=NOWHERE), **more),))


@pytest.mark.parametrize("levels", [Chain(), Flow()], ids=["chain", "flow"])
@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_no_sampler_asks_for_a_number(sampler: str, levels: Levels):
    course = Course(
        seed=1, steps=5, cfg=5.0, sampler=sampler, scheduler="normal", first_step=0, denoise=0.9
    )
    latent = torch.empty(1, 4, 8, 8, device=NOWHERE)
    guided = Guided(
        network=lambda call: call.x * 0.5,
        levels=levels,
        positive=said(),
        negative=said(14),
        cfg=5.0,
        extras_of=lambda entry, side: {},
    )
    start = Start(latent=latent, mask=torch.empty_like(latent), noise=Nothing())
    heard: list[int] = []

    def go() -> None:
        walk(course, start, levels, guided, lambda done, total, seen: heard.append(done))

    if sampler in ADAPTIVE:
        with pytest.raises(RuntimeError, match="meta"):
            go()
        return
    with Copies() as copies:
        go()
    assert heard
    assert copies.count == 0


def entries(kind: str) -> tuple[Conditioning, Conditioning]:
    """Return texts that lie on the host, as a text encoder leaves them."""
    if kind == "unet":
        first = Entry(torch.randn(1, 77, 64))
        area = replace(first, area=Area(4, 4, 2, 2))
        mask = replace(first, mask=Painted(torch.rand(1, 64, 64)))
        return Conditioning((first, area, mask)), Conditioning((Entry(torch.randn(1, 154, 64)),))
    pooled = torch.randn(1, layouts.SD3["pooled_projection_dim"])
    one = Entry(torch.randn(1, 7, layouts.SD3["joint_attention_dim"]), pooled=pooled)
    return Conditioning((one,)), Conditioning((replace(one, pooled=pooled * 2),))


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_a_step_copies_nothing_from_the_host(tmp_path, kind):
    make = {"unet": tiny.sd1, "dit": lambda: layouts.sd3_tensors(layouts.sd3(layouts.SD3))}
    path = tiny.written(tmp_path / "one.safetensors", make[kind]())
    placement = Placement(NOWHERE, torch.float32, torch.float32)
    model = TorchLoader(placement, ModelCache(2**30)).diffusion_model(path)
    x = torch.empty(1, 4 if kind == "unet" else 16, 8, 8, device=NOWHERE)
    positive, negative = entries(kind)
    with model.guided(x, positive, negative, 7.0) as guided:
        with Copies() as first:
            guided(x, 0.9)
        with Copies() as second:
            guided(x, 0.8)
    # What is beside the text is copied when it is first wanted.
    assert first.count == (kind == "dit") * 2
    assert second.count == 0


def test_both_sides_share_one_evaluation():
    asked: list[Call] = []

    def network(call: Call) -> Any:
        asked.append(call)
        return call.x

    context = torch.randn(1, 7, 8)
    guided = Guided(
        network=network,
        levels=Chain(),
        positive=Conditioning((Entry(context),)),
        negative=Conditioning((Entry(context.repeat(1, 2, 1)),)),
        cfg=5.0,
        extras_of=lambda entry, side: {},
    )
    guided(torch.randn(2, 4, 8, 8), 3.0)
    (call,) = asked
    assert call.x.shape == (4, 4, 8, 8)
    assert call.positive == (False, True)


def test_the_bounds_of_a_mask_are_looked_for_once(monkeypatch):
    looked: list[int] = []
    mask = Painted(torch.zeros(1, 8, 8).index_fill_(1, torch.tensor([3, 4]), 1.0), bounded=True)
    from libs.sampling import areas

    bounds = areas._bounds

    def noted(values: Any) -> Any:
        looked.append(1)
        return bounds(values)

    monkeypatch.setattr(areas, "_bounds", noted)
    guided = Guided(
        network=lambda call: call.x,
        levels=Chain(),
        positive=Conditioning((Entry(torch.randn(1, 7, 8), mask=mask),)),
        negative=Conditioning((Entry(torch.randn(1, 7, 8)),)),
        cfg=5.0,
        extras_of=lambda entry, side: {},
    )
    for sigma in (3.0, 2.0):
        guided(torch.randn(1, 4, 8, 8), sigma)
    assert looked == [1]
