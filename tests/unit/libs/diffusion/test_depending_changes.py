"""OFT, BOFT and GLoRA: what depends on the weight that is changed, against the formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.adapters.changes import changed
from tests.unit.libs.diffusion import layouts, tiny

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
STEM = f"lora_unet_{QUERY.replace('.', '_')}"


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def turns(blocks) -> Tensor:
    """Return the orthogonal matrices of Cayley's transform, by solving for them."""
    skew = blocks - blocks.transpose(-1, -2)
    still = torch.eye(skew.shape[-1])
    found: Tensor = torch.linalg.solve(still - skew, still + skew, left=False)
    return found


def diagonal(blocks) -> Tensor:
    """Return one matrix with blocks along its middle and nothing beside them."""
    size = len(blocks[0])
    whole = torch.zeros(len(blocks) * size, len(blocks) * size)
    for at, block in enumerate(blocks):
        whole[at * size : (at + 1) * size, at * size : (at + 1) * size] = block
    return whole


@pytest.mark.parametrize("shape", [(12, 5), (12, 5, 3, 3)])
def test_an_oft_turns_outputs_in_blocks(shape):
    weight, blocks = numbers(*shape), numbers(3, 4, 4, seed=1) / 5
    whole = diagonal(turns(blocks))
    assert torch.allclose(whole @ whole.T, torch.eye(12), atol=1e-5)
    wanted = (whole.T @ weight.flatten(1)).reshape(shape)
    parts = {"oft_blocks": blocks}
    assert torch.allclose(changed(weight, parts, 1.0), wanted, atol=1e-5)
    # ComfyUI's strength counts in the blocks and again in what they change.
    half = weight + 0.25 * (wanted - weight)
    assert torch.allclose(changed(weight, parts, 0.5), half, atol=1e-5)
    assert torch.equal(changed(weight, parts, 0.0), weight)


def test_a_bound_holds_an_oft_back():
    weight, blocks = numbers(12, 5), numbers(3, 4, 4, seed=1)
    skew = blocks - blocks.transpose(1, 2)
    near = {"oft_blocks": blocks, "alpha": torch.tensor(0.1)}
    held = {"oft_blocks": blocks * 0.1 / skew.norm()}
    assert torch.allclose(changed(weight, near, 1.0), changed(weight, held, 1.0), atol=1e-5)
    for loose in (0.0, 1e4):
        bound = {"oft_blocks": blocks, "alpha": torch.tensor(loose)}
        free = changed(weight, {"oft_blocks": blocks}, 1.0)
        assert torch.allclose(changed(weight, bound, 1.0), free, atol=1e-6)


def test_a_boft_turns_ever_wider_blocks():
    blocks = numbers(2, 4, 4, 4, seed=2) / 5
    turned = changed(torch.eye(16), {"oft_blocks": blocks}, 1.0)
    assert torch.allclose(turned.T @ turned, torch.eye(16), atol=1e-5)
    weight = numbers(16, 3, 2, 2)
    wanted = (turned @ weight.flatten(1)).reshape(weight.shape)
    assert torch.allclose(changed(weight, {"oft_blocks": blocks}, 1.0), wanted, atol=1e-5)
    # The first level stays in fours, the second reaches over eight rows, two and two.
    first = changed(torch.eye(16), {"oft_blocks": blocks[:1]}, 1.0)
    pairs = turns(blocks[0])
    order = torch.tensor([0, 2, 1, 3])
    mixed = diagonal([pair[order][:, order] for pair in pairs])
    assert torch.allclose(first, mixed, atol=1e-5)
    far = turned[:8, :8].abs() > 1e-4
    assert far[0, 5:8].any()
    assert not (turned[:8, 8:].abs() > 1e-6).any()


def test_a_boft_is_scaled_row_by_row_and_held_back_by_its_strength():
    weight, blocks = numbers(8, 3), numbers(1, 2, 4, 4, seed=2) / 5
    scale = torch.rand(8, 1) + 0.5
    whole = changed(weight, {"oft_blocks": blocks}, 1.0)
    scaled = changed(weight, {"oft_blocks": blocks, "rescale": scale}, 1.0)
    assert torch.allclose(scaled, whole * scale, atol=1e-5)
    half = changed(weight, {"oft_blocks": blocks}, 0.5)
    assert torch.allclose(half, weight + 0.25 * (whole - weight), atol=1e-5)


@pytest.mark.parametrize("kernel", [(), (3, 3)])
def test_a_glora_adds_a_product_and_turns_what_comes_in(kernel):
    weight = numbers(6, 5, *kernel)
    a1, a2 = numbers(5, 2, seed=1), numbers(2, 5, seed=2)
    inner = 5
    for side in kernel:
        inner *= side
    b1, b2 = numbers(6, 2, seed=3), numbers(2, inner, seed=4)
    parts = {"a1": a1, "a2": a2, "b1": b1, "b2": b2, "alpha": torch.tensor(1.0)}
    turned = torch.einsum("oi...,ir,rj->oj...", weight, a1, a2)
    wanted = weight + 0.5 * 0.8 * ((b1 @ b2).reshape(weight.shape) + turned)
    assert torch.allclose(changed(weight, parts, 0.8), wanted, atol=1e-5)
    assert torch.equal(changed(weight, parts, 0.0), weight)


def test_a_glora_of_old_has_its_factors_the_other_way_round():
    weight, parts = numbers(6, 5), {
        "a1": numbers(2, 5, seed=1), "a2": numbers(5, 2, seed=2),
        "b1": numbers(2, 5, seed=3), "b2": numbers(6, 2, seed=4),
    }  # fmt: skip
    wanted = weight + parts["b2"] @ parts["b1"] + weight @ parts["a2"] @ parts["a1"]
    assert torch.allclose(changed(weight, parts, 1.0), wanted, atol=1e-5)


def test_of_joined_layers_each_gets_its_own_rows():
    weight = numbers(12, 5)
    glora = {
        "a1": numbers(5, 2, seed=1), "a2": numbers(2, 5, seed=2),
        "b1": numbers(12, 2, seed=3), "b2": numbers(2, 5, seed=4),
    }  # fmt: skip
    oft = {"oft_blocks": numbers(3, 4, 4, seed=1) / 5}
    for parts in (glora, oft):
        whole = changed(weight, parts, 0.7)
        part = changed(weight[4:8], parts, 0.7, slice(4, 8))
        assert torch.allclose(part, whole[4:8], atol=1e-5)
    with pytest.raises(Refused, match="lie across"):
        changed(weight[2:8], oft, 1.0, slice(2, 8))
    with pytest.raises(Refused, match="cannot be taken apart"):
        changed(weight[4:8], {"oft_blocks": numbers(1, 3, 4, 4)}, 1.0, slice(4, 8))


@pytest.mark.parametrize(
    "parts",
    [
        {"oft_blocks": numbers(3, 4, 4)},
        {"oft_blocks": numbers(1, 3, 4, 4)},
        {"a1": numbers(9, 2), "a2": numbers(2, 9), "b1": numbers(6, 2), "b2": numbers(2, 9)},
    ],
)
def test_a_change_of_other_sizes_is_refused(parts):
    with pytest.raises(Refused, match="other sizes"):
        changed(numbers(6, 5), parts, 1.0)
    with pytest.raises(Refused, match="DoRA of OFT"):
        changed(numbers(6, 5), parts | {"dora_scale": torch.ones(6, 1)}, 1.0)


KINDS: dict[str, dict[str, Tensor]] = {
    "oft": {"oft_blocks": numbers(4, 4, 4) / 5, "alpha": torch.tensor(0.0)},
    "boft": {"oft_blocks": numbers(2, 4, 4, 4) / 5},
    "glora": {
        f"{name}.weight": numbers(*shape, seed=len(name))
        for name, shape in (("a1", (16, 2)), ("a2", (2, 16)), ("b1", (16, 2)), ("b2", (2, 16)))
    },
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Any:
    path = tmp_path_factory.mktemp("sd1") / "tiny.safetensors"
    loader = tiny.loader()
    return loader, loader.diffusion_model(tiny.written(path, tiny.unet_tensors(tiny.SD1_UNET)))


@pytest.mark.covers("R157")
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_each_kind_changes_its_module_and_no_other(model, tmp_path, kind):
    loader, base = model
    tensors = {f"{STEM}.{part}": tensor for part, tensor in KINDS[kind].items()}
    lora = loader.lora(tiny.written(tmp_path / "l.safetensors", tensors, torch.float32))
    parts = {name.removesuffix(".weight"): tensor for name, tensor in KINDS[kind].items()}
    before = dict(base.network.get().named_parameters())
    after = dict(lora.applied(base, None, 0.8, 0.0)[0].network.get().named_parameters())
    weight = f"{QUERY}.weight"
    assert torch.allclose(after[weight], changed(before[weight], parts, 0.8), atol=1e-6)
    assert not torch.allclose(after[weight], before[weight], atol=1e-2)
    assert all(torch.equal(after[n], one) for n, one in before.items() if n != weight)
    assert lora.applied(base, None, 0.0, 0.0)[0].network is base.network


def test_a_glora_of_flux_reaches_the_parts_of_joined_layers(tmp_path):
    loader = tiny.loader()
    flux = layouts.flux_tensors(layouts.flux())
    base = loader.diffusion_model(tiny.written(tmp_path / "f.safetensors", flux, torch.float32))
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    shapes = {"a1": (64, 2), "a2": (2, 64), "b1": (192, 2), "b2": (2, 64)}
    parts = {name: numbers(*shape, seed=len(shape)) for name, shape in shapes.items()}
    tensors = {f"{stem}.{name}.weight": tensor for name, tensor in parts.items()}
    lora = loader.lora(tiny.written(tmp_path / "l.safetensors", tensors, torch.float32))
    names = [f"transformer_blocks.0.attn.to_{part}.weight" for part in "qkv"]
    before, after = (
        torch.cat([one.network.get().get_parameter(name) for name in names])
        for one in (base, lora.applied(base, None, 0.5, 0.0)[0])
    )
    assert torch.allclose(after, changed(before, parts, 0.5), atol=1e-5)
