"""Networks compute and keep their weights in the numbers that were asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.determinism import fingerprint
from libs.diffusion.offload import size_bytes
from libs.diffusion.packed.tensor import PackedTensor
from libs.diffusion.placement import Placement
from libs.diffusion.precision import at_precision, stored
from tests.unit.libs.diffusion import tiny

SHARE = {"default": 1.0, "fp8_e4m3fn": 0.26, "fp8_e5m2": 0.26, "int8": 0.4}


def unet() -> UNet2DConditionModel:
    torch.manual_seed(1)
    return UNet2DConditionModel(**tiny.SD1_UNET).eval().requires_grad_(requires_grad=False)


@torch.inference_mode()
def output(network: UNet2DConditionModel) -> Any:
    torch.manual_seed(2)
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 64)
    return network(x, torch.tensor(500.0), context, return_dict=False)[0]


@pytest.mark.parametrize("storage", list(SHARE))
def test_a_network_computes_with_kept_weights_as_with_their_numbers(storage):
    network = stored(unet(), storage)
    twin = unet()
    numbers = {
        name: weight.dequantised() if isinstance(weight, PackedTensor) else weight
        for name, weight in network.state_dict().items()
    }
    twin.load_state_dict(numbers)
    assert torch.equal(output(network), output(twin))
    assert size_bytes(network) <= SHARE[storage] * size_bytes(twin)
    exact = output(unet())
    near = float((output(network) - exact).abs().max() / exact.abs().max())
    assert near < {"default": 1e-9, "int8": 0.05}.get(storage, 0.4)
    assert (near == 0) is (storage == "default")


def test_weights_that_come_quantised_stay_as_they_are():
    network = stored(unet(), "int8")
    before = network.mid_block.attentions[0].proj_in.weight
    assert stored(network, "fp8_e4m3fn").mid_block.attentions[0].proj_in.weight is before


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")]
)
def test_a_checkpoint_is_computed_in_the_numbers_of_the_placement(tmp_path, name, dtype):
    placement = at_precision(Placement.cpu(), name)
    assert placement.unet is getattr(torch, dtype)
    network = unet().to(placement.unet)
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 64)
    with torch.inference_mode():
        found = network(
            x.to(placement.unet), torch.tensor(5.0), context.to(placement.unet), return_dict=False
        )[0]
    assert found.dtype is placement.unet
    assert torch.isfinite(found).all()


def test_a_setting_changes_how_weights_are_kept_and_the_fingerprint_tells():
    plain, small = Placement.cpu(), at_precision(Placement.cpu(), "fp8_e4m3fn")
    assert at_precision(plain, "auto") == plain
    assert (small.storage, small.unet) == ("fp8_e4m3fn", torch.float32)
    assert fingerprint({}, small, 0) != fingerprint({}, plain, 0)


def test_a_precision_that_the_device_lacks_is_refused(monkeypatch):
    with pytest.raises(Refused, match="does not multiply") as refused:
        at_precision(Placement.cpu(), "fp8_e4m3fn_fast")
    assert refused.value.facts["instead"] == "fp8_e4m3fn"
    with pytest.raises(Refused, match="no such precision"):
        at_precision(Placement.cpu(), "fp4")
    with pytest.raises(Refused, match="no such storage"):
        stored(unet(), "fp4")

    def lacking(*_args, **_kwargs) -> None:
        raise RuntimeError("not implemented for 'Half'")

    monkeypatch.setattr(functional, "group_norm", lacking)
    with pytest.raises(Refused, match="does not compute") as refused:
        at_precision(Placement.cpu(), "fp16")
    assert "Half" in str(refused.value.facts["reason"])


def test_a_checkpoint_in_eight_bits_takes_a_quarter_of_the_room(tmp_path):
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    taken = {}
    for name in ("auto", "fp8_e5m2", "int8"):
        loader = tiny.loader()
        at = type(loader)(at_precision(loader.placement, name), loader.cache)
        model = at.checkpoint(path)[0]
        model.network.get()
        taken[name] = loader.cache.bytes_used
    assert taken["fp8_e5m2"] <= 0.26 * taken["auto"]
    assert taken["int8"] <= 0.4 * taken["auto"]
