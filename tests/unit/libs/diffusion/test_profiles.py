"""What the fast profile does to a run, and that it leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from libs.diffusion.fast import levers as levers_module
from libs.diffusion.fast.levers import DeviceFacts, Levers, choose, compile_blocks
from libs.diffusion.fast.step_cache import SKIPPED_MAX, Shell, StepCache
from libs.sampling.conditioning import Conditioning, Entry
from tests.unit.libs.diffusion import layouts, tiny

H100 = DeviceFacts("cuda", (9, 0), compiler=True, memory_gib=79)
TURING = DeviceFacts("cuda", (7, 5), compiler=True, memory_gib=15)


def test_the_exact_profile_changes_nothing_on_a_cpu_and_pins_attention_on_a_gpu():
    assert choose("exact", DeviceFacts("cpu", compiler=True)) == Levers()
    assert choose("exact", H100) == Levers(attention=("flash", "efficient", "math"))


def test_the_fast_profile_pulls_what_a_device_has():
    assert choose("fast", DeviceFacts("cpu", compiler=True)) == Levers(
        step_cache=0.08, decodes_meanwhile=True
    )
    newest = choose("fast", H100)
    assert newest.channels_last
    assert newest.compiles
    assert newest.attention[0] == "cudnn"
    assert choose("fast", replace(H100, capability=(8, 0))).attention[0] == "flash"
    assert not choose("fast", replace(H100, compiler=False)).compiles
    assert choose("fast", TURING).attention == ("efficient", "math")
    assert not choose("fast", TURING).compiles
    assert newest.decodes_meanwhile
    assert not choose("fast", TURING).decodes_meanwhile


def test_every_lever_is_named_in_the_fingerprint():
    assert Levers().told() == {}
    assert choose("fast", H100).told() == {
        "memory_format": "channels_last",
        "attention": "sdpa:cudnn>flash>efficient>math",
        "compiled": "regional",
        "step_cache": "0.08",
        "decode": "meanwhile",
    }


def test_only_a_gpu_is_asked_for_its_generation():
    assert DeviceFacts.of(torch.device("cpu")) == DeviceFacts("cpu")


def loaded(tmp_path, kind: str, profile: str = "exact"):
    make = {"unet": tiny.sd1, "dit": lambda: layouts.sd3_tensors(layouts.sd3(layouts.SD3))}
    path = tmp_path / f"{kind}.safetensors"
    if not path.exists():
        tiny.written(path, make[kind]())
    return tiny.loader().as_profile(profile).diffusion_model(path)


def said(kind: str, seed: int) -> Conditioning:
    generator = torch.Generator().manual_seed(seed)
    width = 64 if kind == "unet" else layouts.SD3["joint_attention_dim"]
    pooled = None
    if kind != "unet":
        pooled = torch.randn(1, layouts.SD3["pooled_projection_dim"], generator=generator)
    return Conditioning((Entry(torch.randn(1, 7, width, generator=generator), pooled=pooled),))


def sampled(model, kind: str, *, steps: int = 8) -> torch.Tensor:
    channels = 4 if kind == "unet" else 16
    latent = tiny.loader().blank_latent(width=32, height=32, count=1, channels=channels)
    drawn: torch.Tensor = model.sample(
        latent,
        positive=said(kind, 1),
        negative=said(kind, 2),
        seed=3,
        steps=steps,
        cfg=3.0,
        sampler="euler",
        scheduler="normal",
        on_step=tiny.no_step,
    ).samples
    return drawn


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_a_step_cache_of_no_patience_changes_no_bit(tmp_path, kind):
    model = loaded(tmp_path, kind)
    exact = sampled(model, kind)
    assert torch.equal(sampled(model.patched(StepCache(0.0)), kind), exact)


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_a_step_cache_skips_most_of_the_network_and_stays_near(tmp_path, kind):
    model = loaded(tmp_path, kind)
    network = model.network.get()
    deep = network.mid_block if kind == "unet" else network.transformer_blocks[-1]
    asked = []
    deep.register_forward_hook(lambda *_: asked.append(1))
    exact = sampled(model, kind)
    assert len(asked) == 8
    skipping = sampled(model.patched(StepCache(10.0)), kind)
    # Never more than so many in a row, whatever the threshold.
    assert len(asked) - 8 == -(-8 // (SKIPPED_MAX + 1))
    near = functional.mse_loss(skipping, exact).sqrt() / exact.std()
    assert 0 < near < 0.3
    assert not any(isinstance(module, Shell) for module in network.modules())
    assert torch.equal(sampled(model, kind), exact)


def test_the_sides_of_a_picture_are_skipped_for_themselves(tmp_path):
    """Two texts of two lengths on a transformer are two evaluations of one level."""
    model = loaded(tmp_path, "dit").patched(StepCache(10.0))
    first = model.network.get().transformer_blocks[0]
    asked = []
    first.register_forward_hook(lambda *_: asked.append(1))
    longer = Conditioning(
        tuple(replace(e, context=e.context.repeat(1, 2, 1)) for e in said("dit", 1).entries)
    )
    latent = tiny.loader().blank_latent(width=64, height=64, count=1, channels=16)
    with model.guided(model.start(latent).latent, longer, said("dit", 2), 3.0) as guided:
        x = torch.randn(1, 16, 8, 8)
        seen = [guided(x, sigma) for sigma in (0.9, 0.8)]
    assert len(asked) == 4
    assert all(torch.isfinite(one).all() for one in seen)


def test_a_fast_run_leaves_the_exact_one_as_it_was(tmp_path):
    exact = sampled(loaded(tmp_path, "unet"), "unet")
    fast = loaded(tmp_path, "unet", "fast")
    assert fast.levers.step_cache
    sampled(fast, "unet")
    again = replace(fast, levers=Levers())
    assert torch.equal(sampled(again, "unet"), exact)


def test_a_network_in_another_form_is_kept_beside_the_plain_one(tmp_path, monkeypatch):
    forms = Levers(channels_last=True)
    monkeypatch.setattr(
        "libs.diffusion.torch_loader.choose",
        lambda profile, _: forms if profile == "fast" else Levers(),
    )
    path = tiny.written(tmp_path / "one.safetensors", tiny.sd1())
    loader = tiny.loader()
    plain = loader.diffusion_model(path)
    fast = loader.as_profile("fast").diffusion_model(path)
    exact = sampled(plain, "unet")
    assert torch.allclose(sampled(fast, "unet"), exact, rtol=1e-3, atol=1e-3)
    convolution = fast.network.get().get_parameter("conv_in.weight")
    assert convolution.is_contiguous(memory_format=torch.channels_last)
    assert plain.network.get().get_parameter("conv_in.weight").is_contiguous()
    assert torch.equal(sampled(plain, "unet"), exact)
    assert len(loader.cache.keys()) == 2


def test_blocks_of_which_there_are_many_are_compiled_once_each(monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda block, **_: compiled.append(type(block)))
    network = layouts.sd3(layouts.SD3)
    for _ in range(2):
        compile_blocks(network)
    assert len(compiled) == len(network.transformer_blocks)
    assert {kind.__name__ for kind in compiled} == {"JointTransformerBlock"}


def test_attention_of_a_chosen_order_computes_the_same():
    query = torch.randn(1, 2, 5, 8)
    plain = functional.scaled_dot_product_attention(query, query, query)
    with Levers(attention=tuple(levers_module.ATTENTION)).pulled(nn.Identity()):
        chosen = functional.scaled_dot_product_attention(query, query, query)
    assert torch.allclose(plain, chosen, atol=1e-6)
