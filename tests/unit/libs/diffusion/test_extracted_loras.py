"""What two models differ by is kept as a LoRA that makes one of them the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file
from torch import Tensor

from libs.diffusion.saving.extraction import factors
from libs.nodes.context import OUTPUT_BYTES_MAX
from libs.nodes.local import LocalContext
from libs.nodes.registry import load as node_types
from tests.unit.libs.diffusion import layouts, tiny

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
CONVOLUTION = "down_blocks.0.resnets.0.conv1.weight"
TEXT = "text.encoder.layers.0.mlp.fc1.weight"


def of_rank(rank, outputs, inputs, *kernel) -> Tensor:
    torch.manual_seed(rank)
    whole = torch.randn(outputs, rank) @ torch.randn(rank, inputs * 9 if kernel else inputs)
    return whole.reshape(outputs, inputs, *kernel)


@pytest.mark.parametrize("kernel", [(), (3, 3)])
def test_factors_are_the_nearest_of_their_rank(kernel):
    whole = of_rank(6, 16, 12, *kernel)
    errors = []
    for rank in (1, 3, 6):
        up, down = factors(whole, rank)
        assert up.shape == (16, rank, *(1 for _ in kernel))
        assert down.shape == (rank, 12, *kernel)
        near = (up.flatten(1) @ down.flatten(1)).reshape(whole.shape)
        errors.append(float((near - whole).norm() / whole.norm()))
    assert errors[0] > errors[1] > errors[2]
    # But for the outermost numbers, which are cut and count for much in so few, it is the same.
    assert errors[2] < 0.3


def test_the_outermost_numbers_are_cut_as_torch_finds_their_bound():
    whole = of_rank(4, 30, 20)
    left, sizes, right = torch.linalg.svd(whole)
    up, down = left[:, :4] * sizes[:4], right[:4]
    bound = torch.quantile(torch.cat([up.flatten(), down.flatten()]), 0.99)
    ours = factors(whole, 4)
    assert torch.allclose(ours[0].abs().max(), bound, atol=1e-4)
    assert (
        ours[0] @ ours[1] - up.clamp(-bound, bound) @ down.clamp(-bound, bound)
    ).abs().max() < 1e-3


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("extracted")
    loader = tiny.loader()
    parts = loader.checkpoint(tiny.written(folder / "a.safetensors", tiny.sd1()))
    stem = QUERY.removesuffix(".weight").replace(".", "_")
    text = TEXT.removeprefix("text.").removesuffix(".weight").replace(".", "_")
    torch.manual_seed(3)
    tensors = {
        f"lora_unet_{stem}.diff": of_rank(2, 16, 16) / 4,
        f"lora_unet_{CONVOLUTION.removesuffix('.weight').replace('.', '_')}.diff": torch.randn(
            16, 16, 3, 3
        ),
        f"lora_unet_{stem.replace('to_q', 'to_out_0')}.diff_b": torch.randn(16),
        f"lora_te_text_model_{text}.diff": of_rank(2, 128, 64) / 4,
    }
    path = tiny.written(folder / "lora.safetensors", tensors, torch.float32)
    changed = loader.lora(path).applied(parts[0], parts[1], 1.0, 1.0)
    text_encoder: Any = changed[1]
    difference = (
        changed[0].blended(parts[0], {"": (1.0, -1.0)}),
        text_encoder.blended(parts[1], 1.0, -1.0),
    )  # fmt: skip
    return loader, parts, changed, difference


def saved(house, path: Path, **how: Any) -> Any:
    loader, (model, clip, _), _, difference = house
    given = {"rank": 2, "kind": "full_diff", "with_biases": True} | how
    path.write_bytes(loader.lora_file(*difference, {}, OUTPUT_BYTES_MAX, **given))
    return loader.lora(path).applied(model, clip, 1.0, 1.0)


def weights(value) -> dict[str, Tensor]:
    return dict(value.named_parameters())


def test_a_whole_difference_makes_one_model_the_other(house, tmp_path):
    again, clip = saved(house, tmp_path / "d.safetensors")
    wanted = weights(house[2][0].network.get())
    for name, tensor in weights(again.network.get()).items():
        assert torch.allclose(tensor, wanted[name], atol=5e-3), name
    text = weights(house[2][1].towers[0].network.get())[TEXT]
    assert torch.allclose(weights(clip.towers[0].network.get())[TEXT], text, atol=5e-3)


def test_a_lora_of_the_differences_rank_comes_near_it(house, tmp_path):
    again, _ = saved(house, tmp_path / "s.safetensors", kind="standard")
    before, wanted, found = (
        weights(one.network.get()) for one in (house[1][0], house[2][0], again)
    )
    far = (before[QUERY] - wanted[QUERY]).norm()
    assert (found[QUERY] - wanted[QUERY]).norm() < 0.5 * far
    bias = QUERY.replace("to_q.weight", "to_out.0.bias")
    assert torch.allclose(found[bias], wanted[bias], atol=5e-3)
    bare, _ = saved(house, tmp_path / "b.safetensors", kind="standard", with_biases=False)
    assert torch.equal(weights(bare.network.get())[bias], before[bias])
    names = load_file(tmp_path / "b.safetensors")
    assert not [name for name in names if name.endswith((".diff", ".diff_b"))]
    assert all(tensor.dtype is torch.float16 for tensor in names.values())


def test_joined_layers_of_flux_are_written_joined(tmp_path):
    loader = tiny.loader()
    tensors = layouts.flux_tensors(layouts.flux())
    model = loader.diffusion_model(tiny.written(tmp_path / "f.safetensors", tensors, torch.float32))
    data = loader.lora_file(
        model, None, {"prompt": "{}"}, OUTPUT_BYTES_MAX, rank=4, kind="standard", with_biases=False
    )
    written = load(data)
    assert written["diffusion_model.double_blocks.0.img_attn.qkv.lora_up.weight"].shape == (192, 4)
    assert not [name for name in written if not name.startswith("diffusion_model.")]


def test_the_node_keeps_a_file_and_nothing_without_a_difference(house, tmp_path):
    loader, _, _, (model, clip) = house
    context: Any = LocalContext(
        root=tmp_path, loader=loader, node_id="1", prompt={}, hip_workflow=None
    )
    save = node_types()["LoraSave"].function
    told = save(
        context, rank=2, lora_type="standard", model_diff=model, text_encoder_diff=clip,
        bias_diff=False,
    )  # fmt: skip
    (file,) = told.ui["models"]
    assert file["filename"].startswith("ComfyUI_extracted_lora")
    assert (tmp_path / "output/loras" / file["filename"]).stat().st_size > 1000
    assert save(context, lora_type="standard").ui == {}
