"""Evaluations that are replayed: what is recorded, for whom, and that nothing else comes out.

Tests marked `gpu` let the real recorder pass what the one of the tests passes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from libs.diffusion.fast import levers as levers_module
from libs.diffusion.fast.graphs import CudaRecorder, Graphs, Recorder, Recording, kind_of, obstacle
from libs.diffusion.fast.levers import Levers
from libs.diffusion.memory import CudaMemory
from libs.diffusion.offload import lodge, pieces
from libs.diffusion.placement import Placement
from libs.diffusion.residency import ModelCache
from libs.diffusion.torch_loader import TorchLoader
from libs.sampling.control import Call
from tests.unit.libs.diffusion import tiny

CPU = torch.device("cpu")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@dataclass
class FakeRecorder:
    """Does recorded work over again, into the same place, as a graph of a GPU does."""

    recorded: int = 0
    replayed: int = 0
    error: Exception | None = None
    works: list[Callable[[], Tensor]] = field(default_factory=list)

    def record(self, work: Callable[[], Tensor]) -> Recording:
        if self.error is not None:
            raise self.error
        work()
        output = work()
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            output.copy_(work())

        return Recording(replay, output)


@pytest.fixture(params=["fake", pytest.param("real", marks=[pytest.mark.gpu, on_gpu])])
def graphs(request: Any) -> tuple[Graphs, torch.device]:
    device = torch.device("cpu" if request.param == "fake" else "cuda")
    recorder: Recorder = FakeRecorder() if request.param == "fake" else CudaRecorder(device)
    return Graphs(4, recorder), device


def network(device: torch.device) -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(8, 8).to(device)


def call(seed: int, device: torch.device = CPU, rows: int = 2, **changed: Any) -> Call:
    dice = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=dice).to(device)

    extras = {"pooled": drawn(rows, 8)}
    control = {"down": [drawn(rows, 8), None]}
    plain = Call(drawn(rows, 8), drawn(rows), drawn(rows, 3, 8), extras, control=control)
    return replace(plain, **changed)


def answer_of(net: nn.Module, asked: list[Call] | None = None) -> Callable[[Call], Tensor]:
    def answer(given: Call) -> Tensor:
        if asked is not None:
            asked.append(given)
        led, pooled = given.control["down"][0], given.extras["pooled"]
        assert led is not None
        told = given.x * given.timestep[:, None] + given.context.mean(1)
        made: Tensor = net(told) + led + pooled
        return made

    return answer


# What every recorder must do.


@torch.inference_mode()
def test_what_is_replayed_is_what_is_computed_to_the_bit(graphs):
    found, device = graphs
    net = network(device)
    answer = answer_of(net)
    replayed = found.lent(net, answer)
    for seed in range(6):
        given = call(seed, device)
        assert torch.equal(replayed(given), answer(given)), seed
    assert len(found) == 1


@torch.inference_mode()
def test_an_output_outlives_the_next_evaluation(graphs):
    found, device = graphs
    net = network(device)
    replayed = found.lent(net, answer_of(net))
    made = [replayed(call(seed, device)) for seed in range(4)]
    kept = [one.clone() for one in made]
    replayed(call(9, device))
    assert all(torch.equal(one, other) for one, other in zip(made, kept, strict=True))
    assert not torch.equal(made[2], made[3])


@torch.inference_mode()
def test_what_is_given_is_left_as_it_is(graphs):
    found, device = graphs
    net = network(device)
    replayed = found.lent(net, answer_of(net))
    given = [call(seed, device) for seed in range(3)]
    for one in given:
        replayed(one)
    for seed, one in enumerate(given):
        assert torch.equal(one.x, call(seed, device).x)


@torch.inference_mode()
def test_several_graphs_do_not_disturb_each_other(graphs):
    found, device = graphs
    net = network(device)
    answer = answer_of(net)
    replayed = found.lent(net, answer)
    for _ in range(3):
        for rows in (1, 2, 3):
            given = call(rows, device, rows)
            assert torch.equal(replayed(given), answer(given))
    assert len(found) == 3


@torch.inference_mode()
def test_work_that_cannot_be_recorded_is_computed_and_other_work_is_recorded_after_it(graphs):
    found, device = graphs
    net = network(device)

    def stubborn(given: Call) -> Tensor:
        if given.x.data_ptr() != own.x.data_ptr():
            raise RuntimeError("this needs the host")
        made: Tensor = given.x * 2
        return made

    own = call(1, device, 3)
    replayed = found.lent(net, stubborn)
    for _ in range(3):
        assert torch.equal(replayed(own), own.x * 2)
    assert len(found) == 0
    given = call(2, device)
    calm = found.lent(net, answer_of(net))
    for _ in range(3):
        assert torch.equal(calm(given), answer_of(net)(given))
    assert len(found) == 1


# Which evaluations share a recording, and how many there are.


@torch.inference_mode()
def test_a_first_evaluation_is_computed_the_second_is_recorded_and_all_others_are_replayed():
    recorder, asked = FakeRecorder(), list[Call]()
    found, net = Graphs(4, recorder), network(CPU)
    replayed = found.lent(net, answer_of(net, asked))
    first = call(0)
    replayed(first)
    assert (asked[-1] is first, recorder.recorded) == (True, 0)
    for seed in range(1, 5):
        replayed(call(seed))
    assert (recorder.recorded, recorder.replayed) == (1, 4)


@pytest.mark.parametrize(
    "other",
    [
        call(1, rows=3),
        call(1, positive=(True, False)),
        call(1, extras={}),
        call(1, extras={"guidance": torch.ones(2, 8)}),
        call(1, control={}),
        call(1, control={"down": [torch.ones(2, 8), torch.ones(2, 8)]}),
        call(1, context=torch.ones(2, 6, 8)),
        call(1, x=torch.ones(2, 8, dtype=torch.float16)),
        call(1, x=torch.ones(8, 2).T),
    ],
    ids=["rows", "sides", "no extras", "other extras", "no control", "more control", "longer text",
         "numbers", "order in memory"],
)  # fmt: skip
def test_evaluations_of_another_kind_have_a_recording_of_their_own(other):
    assert kind_of(call(1)) == kind_of(call(2))
    assert kind_of(call(1)) == kind_of(call(2, sigma=3.0))
    assert kind_of(other) != kind_of(call(1))


@torch.inference_mode()
def test_another_network_or_other_weights_have_recordings_of_their_own():
    recorder = FakeRecorder()
    found, one, two = Graphs(8, recorder), network(CPU), network(CPU)
    for net in (one, two):
        replayed = found.lent(net, answer_of(net))
        for seed in range(3):
            replayed(call(seed))
    assert recorder.recorded == 2
    one.weight = nn.Parameter(one.weight * 2)
    replayed = found.lent(one, answer_of(one))
    for seed in range(3):
        assert torch.equal(replayed(call(seed)), answer_of(one)(call(seed)))
    assert recorder.recorded == 3


@torch.inference_mode()
def test_only_so_many_are_kept_and_the_longest_unused_goes_first():
    recorder = FakeRecorder()
    found, net = Graphs(2, recorder), network(CPU)
    replayed = found.lent(net, answer_of(net))
    for rows in (1, 1, 2, 2, 1, 3, 3):
        replayed(call(1, rows=rows))
    assert (len(found), recorder.recorded) == (2, 3)
    replayed(call(1, rows=1))
    assert recorder.recorded == 3
    replayed(call(1, rows=2))
    replayed(call(1, rows=2))
    assert recorder.recorded == 4


@torch.inference_mode()
def test_recordings_go_with_their_network_and_when_memory_is_wanted():
    class Light(FakeRecorder):
        """Holds nothing of the work, as a graph of a GPU does."""

        def record(self, work: Callable[[], Tensor]) -> Recording:
            return Recording(lambda: None, work())

    found, net = Graphs(4, Light()), network(CPU)
    replayed = found.lent(net, answer_of(net))
    for _ in range(2):
        replayed(call(1))
    assert len(found) == 1
    del replayed, net
    gc.collect()
    assert len(found) == 0
    net = network(CPU)
    cache = ModelCache(bytes_max=100)
    cache.also_frees(found.free)
    replayed = found.lent(net, answer_of(net))
    for _ in range(2):
        replayed(call(1))
    cache.get("small", lambda: nn.Linear(1, 1))
    assert len(found) == 1
    cache.get("large", lambda: nn.Linear(8, 8))
    assert len(found) == 0


# Which networks are left alone.


def test_on_a_processor_nothing_is_replayed():
    assert obstacle(network(CPU), CPU, ()) == "the device is no GPU"


def test_what_works_on_the_host_in_the_middle_of_an_evaluation_is_an_obstacle():
    gpu = torch.device("cuda")
    assert obstacle(network(gpu if torch.cuda.is_available() else CPU), gpu, ()) == ""
    assert obstacle(network(CPU), gpu, (Levers(),)) == "the network is patched by Levers"
    hooked = network(CPU)
    hooked.register_forward_hook(lambda *_: None)
    assert obstacle(hooked, gpu, ()) == "a hook of Linear works on the host"
    measured = network(CPU)
    CudaMemory(gpu).observe(measured)
    assert obstacle(measured, gpu, ()) == ""
    visiting = nn.Sequential(network(CPU), network(CPU))
    lodge(visiting, CPU, frozenset({"0"}), pieces(visiting))
    assert obstacle(visiting, gpu, ()) == "layers of the network visit the device in turn"


def sampled(loader: TorchLoader, path: Any, seed: int) -> Tensor:
    model, clip, _ = loader.checkpoint(path)
    made: Tensor = model.sample(
        loader.blank_latent(width=64, height=64, count=1),
        positive=clip.encode("a fox"), negative=clip.encode(""), seed=seed, steps=5, cfg=4.0,
        sampler="dpmpp_2m", scheduler="karras", on_step=tiny.no_step,
    ).samples  # fmt: skip
    return made


def test_a_fast_run_replays_its_steps_and_says_so_and_an_exact_one_does_not(tmp_path, monkeypatch):
    """The processor's recorder of the tests takes the GPU's place."""
    monkeypatch.setattr(levers_module, "obstacle", lambda *_: "")
    path = tiny.written(tmp_path / "m.safetensors", tiny.sd1())
    recorder = FakeRecorder()
    plain = TorchLoader(Placement.cpu(), ModelCache(2**30), profile="fast")
    replaying = replace(plain, graphs=Graphs(4, recorder))
    assert "step_cache" not in replaying.levers.told()
    assert replaying.levers.told()["cuda_graphs"] == "up to 4"
    exact = replaying.as_profile("exact")
    made = sampled(exact, path, 1)
    assert recorder.recorded == 0
    assert torch.equal(sampled(replaying, path, 1), made)
    assert (recorder.recorded, recorder.replayed) == (1, 4)
    sampled(replaying, path, 2)
    assert (recorder.recorded, recorder.replayed) == (1, 9)


def test_where_nothing_can_be_replayed_the_run_is_computed_as_it_is(tmp_path):
    path = tiny.written(tmp_path / "m.safetensors", tiny.sd1())
    recorder = FakeRecorder()
    plain = TorchLoader(Placement.cpu(), ModelCache(2**30), profile="fast")
    replaying = replace(plain, graphs=Graphs(4, recorder))
    assert torch.equal(sampled(replaying, path, 1), sampled(plain.as_profile("exact"), path, 1))
    assert recorder.recorded == 0


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("layout", [tiny.sd1, tiny.sdxl], ids=["sd1", "sdxl"])
def test_pictures_of_a_gpu_are_equal_to_the_bit_with_graphs_and_without(tmp_path, layout):
    path = tiny.written(tmp_path / "m.safetensors", layout())
    placement = Placement.cuda()
    graphs = Graphs(4, CudaRecorder(placement.device))
    loader = TorchLoader(placement, ModelCache(2**30, CudaMemory(placement.device)), profile="fast")
    with_graphs = replace(loader, graphs=graphs)
    for seed in (1, 2):
        eager = replace(with_graphs, graphs=None)
        object.__setattr__(eager, "levers", replace(loader.levers, step_cache=0.0))
        assert torch.equal(sampled(with_graphs, path, seed), sampled(eager, path, seed))
    assert len(graphs) == 1
