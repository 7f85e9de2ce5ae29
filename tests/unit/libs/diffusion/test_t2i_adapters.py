"""T2I-Adapters: what they see is what diffusers sees, and is added where diffusers adds it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import T2IAdapter
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.control import detect
from libs.diffusion.control.t2i_adapter import INSIDE, Halved
from libs.diffusion.values import Latents, Picture
from libs.sampling.control import Call
from tests.unit.libs.diffusion import tiny, tiny_video
from tests.unit.libs.diffusion.test_diffusion_control import network

HINT = Picture(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3)))
KINDS: dict[str, dict[str, Any]] = {
    "full": {"channels": [16, 32], "num_res_blocks": 2, "adapter_type": "full_adapter"},
    "light": {"channels": [16, 32], "num_res_blocks": 4, "adapter_type": "light_adapter"},
    "xl": {
        "channels": [32, 64, 128, 128], "num_res_blocks": 2, "downscale_factor": 16,
        "adapter_type": "full_adapter_xl",
    },
}  # fmt: skip


def made(kind, grey=False) -> T2IAdapter:
    torch.manual_seed(8)
    adapter = T2IAdapter(in_channels=1 if grey else 3, **KINDS[kind])
    if kind == "light":
        # diffusers ends with the last width once more; the networks here have two levels.
        adapter.adapter.body = adapter.adapter.body[:2]
    return adapter.eval()


def first_names(state) -> dict[str, Tensor]:
    """Return the tensors as TencentARC has them: blocks are counted through."""
    named = {}
    light = "adapter.body.0.out_conv.weight" in state
    for name, tensor in state.items():
        parts = name.removeprefix("adapter.").split(".")
        if light and "resnets" in parts:
            parts[2] = "body"
        elif parts[0] == "body" and not light:
            at = 2 * int(parts[1]) + (int(parts[3]) if "resnets" in parts else 0)
            parts = ["body", str(at), *(parts[4:] if "resnets" in parts else parts[2:])]
        named[".".join(parts)] = tensor
    return named


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("t2i")
    loader = tiny.loader()
    models = {
        "sd1": loader.checkpoint(tiny.written(folder / "sd1.safetensors", tiny.sd1())),
        "sdxl": loader.checkpoint(tiny.written(folder / "sdxl.safetensors", tiny.sdxl())),
    }
    nets = {
        kind: loader.control_net(
            tiny.written(folder / f"{kind}.safetensors", made(kind).state_dict(), torch.float32)
        )
        for kind in KINDS
    }
    return loader, models, nets, folder


def call_for(kind, side=8) -> Call:
    torch.manual_seed(2)
    sdxl = kind == "xl"
    extras = {"text_embeds": torch.randn(1, 128), "time_ids": torch.full((1, 6), 64.0)}
    x = torch.randn(1, 4, side, side)
    text = torch.randn(1, 77, 192 if sdxl else 64)
    return Call(x, torch.tensor([500.0]), text, extras if sdxl else {}, sigma=1.0, positive=(True,))


@pytest.mark.covers("R163")
@pytest.mark.parametrize("layout", ["diffusers", "first"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_sees_and_leads_as_in_diffusers(house, tmp_path, kind, layout):
    loader, models, *_ = house
    theirs = made(kind)
    state = theirs.state_dict()
    tensors = first_names(state) if layout == "first" else state
    net = loader.control_net(tiny.written(tmp_path / "n.safetensors", tensors, torch.float32))
    model, clip, _ = models["sdxl" if kind == "xl" else "sd1"]
    (entry,) = net.applied(clip.encode("a fox"), HINT, 0.75).entries
    call = call_for(kind)
    with torch.inference_mode():
        found = entry.control[0](call, model.levels)
        wanted = theirs(HINT.pixels.movedim(-1, 1))
        assert found.keys() == {INSIDE}
        for ours, seen in zip(found[INSIDE], wanted, strict=True):
            assert torch.allclose(ours, 0.75 * seen, atol=1e-5)
        unet = model.network.get()
        with model.evaluated() as evaluate:
            led = evaluate(replace(call, control=found))
            plain = evaluate(call)
        said = unet(
            call.x, call.timestep, call.context, added_cond_kwargs=dict(call.extras) or None,
            down_intrablock_additional_residuals=[0.75 * seen for seen in wanted],
            return_dict=False,
        )[0]  # fmt: skip
    assert torch.allclose(led, said, atol=1e-5)
    assert not torch.allclose(led, plain, atol=1e-3)


def latent_of(parts, sides, side=8) -> Tensor:
    end: Tensor = parts[0].sample(
        Latents(torch.zeros(1, 4, side, side)), positive=sides[0], negative=sides[1], seed=1,
        steps=2, cfg=5.0, sampler="euler", scheduler="normal", on_step=tiny.no_step,
    ).samples  # fmt: skip
    return end


@pytest.mark.parametrize("kind", KINDS)
def test_a_hint_leads_by_its_strength_and_not_at_all_without(house, kind):
    _, models, nets, _ = house
    parts = models["sdxl" if kind == "xl" else "sd1"]
    sides = (parts[1].encode("a fox"), parts[1].encode(""))
    plain, led, less, none = (
        latent_of(parts, nets[kind].applied_to_all(sides, HINT, strength))
        for strength in (0.0, 0.9, 0.4, 0.0)
    )
    other = latent_of(parts, nets[kind].applied_to_all(sides, Picture(1 - HINT.pixels), 0.9))
    assert torch.equal(plain, none)
    for one, two in ((plain, led), (led, less), (led, other)):
        assert one.isfinite().all()
        assert not torch.allclose(one, two)


def test_it_is_looked_at_once_for_a_whole_course(house, monkeypatch):
    _, models, nets, _ = house
    asked: list[int] = []
    kind = type(nets["full"].network.get())
    forward = kind.forward

    def heard(self, hint) -> Any:
        asked.append(len(hint))
        return forward(self, hint)

    monkeypatch.setattr(kind, "forward", heard)
    sides = (models["sd1"][1].encode("a fox"), models["sd1"][1].encode(""))
    latent_of(models["sd1"], nets["full"].applied_to_all(sides, HINT, 0.9))
    assert len(asked) == 1


def test_it_leads_beside_a_control_net_and_beside_another(house):
    loader, models, nets, folder = house
    parts = models["sd1"]
    state = network(tiny.SD1_UNET).state_dict()
    net = loader.control_net(tiny.written(folder / "cn.safetensors", state))
    sides = (parts[1].encode("a fox"), parts[1].encode(""))
    one = nets["full"].applied_to_all(sides, HINT, 0.5)
    ends = [
        latent_of(parts, led)
        for led in (
            one,
            net.applied_to_all(one, HINT, 0.5),
            nets["full"].applied_to_all(one, HINT, 0.5),
        )
    ]
    assert not torch.allclose(ends[0], ends[1])
    assert not torch.allclose(ends[0], ends[2])
    whole = latent_of(parts, nets["full"].applied_to_all(sides, HINT, 1.0))
    assert torch.allclose(ends[2], whole, atol=1e-4)


def test_a_hint_of_odd_size_is_halved_as_comfyui_does_it(house):
    odd = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert torch.equal(
        Halved(1, learned=False)(odd)[0, 0], torch.tensor([[0.0, 0.75], [2.25, 6.0]])
    )
    _, models, nets, _ = house
    sides = (models["sd1"][1].encode("a fox"), models["sd1"][1].encode(""))
    led = latent_of(models["sd1"], nets["full"].applied_to_all(sides, HINT, 0.9), side=9)
    assert led.shape[-1] == 9
    xl = (models["sdxl"][1].encode("a fox"), models["sdxl"][1].encode(""))
    assert (
        latent_of(models["sdxl"], nets["xl"].applied_to_all(xl, HINT, 0.9), side=12)
        .isfinite()
        .all()
    )


def test_one_of_grey_hints_sees_their_mean(house, tmp_path):
    loader, models, *_ = house
    theirs = made("full", grey=True)
    path = tiny.written(tmp_path / "grey.safetensors", theirs.state_dict(), torch.float32)
    (entry,) = loader.control_net(path).applied(models["sd1"][1].encode("a"), HINT, 1.0).entries
    with torch.inference_mode():
        found = entry.control[0](call_for("full"), models["sd1"][0].levels)[INSIDE]
        wanted = theirs(HINT.pixels.movedim(-1, 1).mean(1, keepdim=True))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, wanted, strict=True))


def test_one_for_another_kind_of_model_is_refused(house, tmp_path):
    loader, models, nets, _ = house
    for model, kind, word in (("sdxl", "full", "Stable Diffusion 1"), ("sd1", "xl", "SDXL")):
        parts = models[model]
        sides = (parts[1].encode("a fox"), parts[1].encode(""))
        with pytest.raises(Refused, match=f"is for {word} models"):
            latent_of(parts, nets[kind].applied_to_all(sides, HINT, 0.9))
    motion = tiny_video.first_motion_names(tiny_video.motion_network())
    path = tiny.written(tmp_path / "mm.safetensors", motion)
    moving = loader.motion_model(path).applied_to(models["sd1"][0], 16, 4)
    sides = (models["sd1"][1].encode("a fox"), models["sd1"][1].encode(""))
    with pytest.raises(Refused, match="cannot lead videos"):
        moving.sample(
            Latents(torch.zeros(16, 4, 8, 8)), seed=1, steps=1, cfg=1.0, sampler="euler",
            positive=nets["full"].applied(sides[0], HINT, 0.9), negative=sides[1],
            scheduler="normal", on_step=tiny.no_step,
        )  # fmt: skip


def test_half_an_adapter_is_refused(house, tmp_path):
    loader, *_ = house
    state = made("full").state_dict()
    del state["adapter.body.1.in_conv.weight"]
    net = loader.control_net(tiny.written(tmp_path / "half.safetensors", state))
    with pytest.raises(Refused, match="do not fit"):
        net.network.get()
    shapes = {"conv_in.weight": (4, 192, 3, 3), "body.0.block1.weight": (4, 4, 3, 3)}
    kind = detect(shapes)
    with pytest.raises(Refused, match="not whole"):
        kind.build({name: torch.zeros(shape) for name, shape in shapes.items()})
