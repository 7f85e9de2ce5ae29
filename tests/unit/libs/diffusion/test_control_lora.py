"""Control-LoRAs: over a model they are the ControlNet that they were taken from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.values import Latents, Picture
from tests.unit.libs.diffusion import tiny
from tests.unit.libs.diffusion.test_diffusion_control import network, single_file

HINT = Picture(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3)))
PREFIX = "model.diffusion_model."
MODELS: dict[str, Any] = {"sd1": (tiny.SD1_UNET, tiny.sd1), "sdxl": (tiny.SDXL_UNET, tiny.sdxl)}


def pair(kind) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Return a checkpoint, a Control-LoRA of it, and the whole ControlNet that this is."""
    config, checkpoint = MODELS[kind]
    known = checkpoint()
    torch.manual_seed(7)
    lora: dict[str, Tensor] = {"lora_controlnet": torch.tensor([])}
    whole = {}
    for name, tensor in single_file(network(config).state_dict(), config).items():
        inner = name.removeprefix("control_model.")
        lent = known.get(PREFIX + inner)
        whole[name] = tensor
        if lent is None or tensor.ndim < 2:
            lora[inner] = tensor
            continue
        up = torch.randn(len(lent), 2, *(1 for _ in lent.shape[2:])) / 4
        down = torch.randn(2, *lent.shape[1:]) / 4
        stem = inner.removesuffix(".weight")
        lora |= {f"{stem}.up": up, f"{stem}.down": down}
        whole[name] = lent + (up.flatten(1) @ down.flatten(1)).reshape(lent.shape)
    return known, lora, whole


@pytest.fixture(scope="module", params=["sd1", pytest.param("sdxl", marks=pytest.mark.long)])
def house(request, tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("control-lora")
    files = zip(("model", "lora", "whole"), pair(request.param), strict=True)
    paths = {n: tiny.written(folder / f"{n}.safetensors", t, torch.float32) for n, t in files}
    loader = tiny.loader()
    parts = loader.checkpoint(paths["model"])
    return loader, parts, loader.control_net(paths["lora"]), loader.control_net(paths["whole"])


def latent_of(model, sides) -> Tensor:
    end: Tensor = model.sample(
        Latents(torch.zeros(1, 4, 8, 8)), positive=sides[0], negative=sides[1], seed=1, steps=2,
        cfg=5.0, sampler="euler", scheduler="normal", on_step=tiny.no_step,
    ).samples  # fmt: skip
    return end


@pytest.mark.covers("R163")
def test_it_leads_as_the_whole_one_does_and_without_strength_not_at_all(house):
    _, (model, clip, _), lora, whole = house
    sides = (clip.encode("a fox"), clip.encode(""))
    plain, led, wanted, less, none = (
        latent_of(model, net.applied_to_all(sides, HINT, strength))
        for net, strength in ((whole, 0.0), (lora, 0.8), (whole, 0.8), (lora, 0.3), (lora, 0.0))
    )
    assert torch.equal(plain, none)
    assert torch.allclose(led, wanted, atol=1e-4)
    assert not torch.allclose(led, plain, atol=1e-2)
    assert not torch.allclose(led, less, atol=1e-3)


def test_both_sides_share_an_evaluation(house, monkeypatch):
    _, (model, clip, _), lora, _ = house
    sides = lora.applied_to_all((clip.encode("a fox"), clip.encode("")), HINT, 0.8)
    asked: list[int] = []
    kind = type(lora.kind)
    seen = kind.residuals

    def heard(self, network, call, hint, strength) -> Any:
        asked.append(len(call.x))
        return seen(self, network, call, hint, strength)

    monkeypatch.setattr(kind, "residuals", heard)
    latent_of(model, sides)
    assert set(asked) == {2}


def test_it_borrows_from_the_model_as_it_is_then(house, tmp_path):
    loader, (model, clip, _), lora, whole = house
    torch.manual_seed(1)
    stem = "lora_unet_time_embedding_linear_2"
    rows, columns = model.network.get().get_parameter("time_embedding.linear_2.weight").shape
    tensors = {
        f"{stem}.lora_up.weight": torch.randn(rows, 2),
        f"{stem}.lora_down.weight": torch.randn(2, columns),
    }
    path = tiny.written(tmp_path / "l.safetensors", tensors, torch.float32)
    changed, _ = loader.lora(path).applied(model, None, 1.0, 0.0)
    sides = (clip.encode("a fox"), clip.encode(""))
    led, other = (latent_of(changed, net.applied_to_all(sides, HINT, 0.8)) for net in (lora, whole))
    assert led.isfinite().all()
    assert not torch.allclose(led, other, atol=1e-3)


def test_over_another_kind_of_model_it_is_refused(house, tmp_path):
    loader, (model, *_), lora, _ = house
    config = tiny.SD1_UNET if model.family == "sdxl" else tiny.SDXL_UNET
    path = tiny.written(tmp_path / "other.safetensors", tiny.unet_tensors(config))
    other = loader.diffusion_model(path)
    with pytest.raises(Refused, match="another kind of model"):
        lora.over(other.network).network.get()
