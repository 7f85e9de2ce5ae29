"""Adapters of weights: every kind against its formula, in every way that files name modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from structlog.testing import capture_logs
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.adapters.changes import changed
from libs.diffusion.packed.tensor import PackedTensor
from libs.diffusion.values import Latents
from tests.fidelity.ldm_names import unet_name
from tests.unit.libs.diffusion import tiny
from tests.unit.libs.diffusion.quantised import write_gguf

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
CONVOLUTION = "down_blocks.0.resnets.0.conv1"
LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"
TEXT = "encoder.layers.0.mlp.fc1"


@pytest.fixture(scope="module")
def sd1(tmp_path_factory) -> Any:
    path = tiny.written(tmp_path_factory.mktemp("sd1") / "tiny.safetensors", tiny.sd1())
    return tiny.loader(), path


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory) -> Any:
    path = tiny.written(tmp_path_factory.mktemp("sdxl") / "tiny.safetensors", tiny.sdxl())
    return tiny.loader(), path


def weight(model, module, leaf="weight") -> Tensor:
    found: Tensor = model.network.get().get_parameter(f"{module}.{leaf}")
    return found


def rank_two(outputs, inputs, *kernel) -> dict[str, Tensor]:
    return {
        "lora_up.weight": torch.randn(outputs, 2, *(1 for _ in kernel)),
        "lora_down.weight": torch.randn(2, inputs, *kernel),
        "alpha": torch.tensor(1.0),
    }


def product(parts) -> Tensor:
    up, down = parts["lora_up.weight"], parts["lora_down.weight"]
    whole: Tensor = float(parts["alpha"]) / 2 * (up.flatten(1) @ down.flatten(1))
    return whole


def file(tmp_path, name="a", **modules) -> Any:
    tensors = {
        f"{module}.{part}": tensor for module, parts in modules.items()
        for part, tensor in parts.items()
    }  # fmt: skip
    return tiny.written(tmp_path / f"{name}.safetensors", tensors, torch.float32)


def latent_of(model, clip) -> Tensor:
    end: Tensor = model.sample(
        Latents(torch.zeros(1, 4, 8, 8)), positive=clip.encode("a fox"), negative=clip.encode(""),
        seed=1, steps=2, cfg=5.0, sampler="euler", scheduler="normal", on_step=tiny.no_step,
    ).samples  # fmt: skip
    return end


@pytest.mark.covers("R157", "R158", "R159", "R119")
def test_a_lora_is_added_at_its_scale_and_strength_and_the_base_stays(sd1, tmp_path):
    loader, path = sd1
    model, clip, _ = loader.checkpoint(path)
    parts, conv, text = rank_two(16, 16), rank_two(16, 16, 3, 3), rank_two(128, 64)
    lora = loader.lora(
        file(
            tmp_path,
            **{
                f"lora_unet_{QUERY.replace('.', '_')}": parts,
                f"lora_unet_{CONVOLUTION.replace('.', '_')}": conv,
                f"lora_te_text_model_{TEXT.replace('.', '_')}": text,
            },
        )
    )
    before = weight(model, QUERY).clone()
    plain = latent_of(model, clip)
    changed_model, changed_clip = lora.applied(model, clip, 0.8, 0.6)
    assert torch.allclose(weight(changed_model, QUERY), before + 0.8 * product(parts), atol=1e-6)
    conv_delta = 0.8 * product(conv).reshape(16, 16, 3, 3)
    assert torch.allclose(
        weight(changed_model, CONVOLUTION), weight(model, CONVOLUTION) + conv_delta, atol=1e-6
    )
    tower, changed_tower = (one.towers[0].network.get() for one in (clip, changed_clip))
    kept = tower.get_parameter(f"text.{TEXT}.weight")
    # Text encoders are kept in half precision wherever they compute: rounded once, at the end.
    wanted = (kept + 0.6 * product(text)).half().float()
    assert torch.equal(changed_tower.get_parameter(f"text.{TEXT}.weight"), wanted)
    assert not torch.allclose(latent_of(changed_model, changed_clip), plain)
    assert torch.equal(weight(model, QUERY), before)
    assert torch.equal(latent_of(model, clip), plain)
    with pytest.raises(Refused, match="safetensors"):
        loader.lora(tmp_path / "a.pt")


@pytest.mark.covers("R160")
def test_loras_add_up_in_any_order_each_at_its_own_strengths(sd1, tmp_path):
    loader, path = sd1
    model, clip, _ = loader.checkpoint(path)
    stem = f"lora_unet_{QUERY.replace('.', '_')}"
    first, second = rank_two(16, 16), rank_two(16, 16)
    loras = [
        (loader.lora(file(tmp_path, "a", **{stem: first})), 0.8),
        (loader.lora(file(tmp_path, "b", **{stem: second})), -0.5),
    ]
    both = []
    for order in (loras, loras[::-1]):
        stacked = model
        for lora, strength in order:
            stacked, _ = lora.applied(stacked, clip, strength, 1.0)
        both.append(weight(stacked, QUERY))
    wanted = weight(model, QUERY) + 0.8 * product(first) - 0.5 * product(second)
    assert torch.allclose(both[0], wanted, atol=1e-6)
    assert torch.allclose(both[0], both[1], atol=1e-6)


def test_what_is_stacked_is_rounded_once(sd1, tmp_path):
    loader, path = sd1
    model, clip, _ = loader.checkpoint(path)
    stem = f"lora_te_text_model_{TEXT.replace('.', '_')}"
    parts = [rank_two(128, 64) for _ in range(3)]
    stacked = clip
    wanted = clip.towers[0].network.get().get_parameter(f"text.{TEXT}.weight")
    for number, one in enumerate(parts):
        lora = loader.lora(file(tmp_path, f"{number}", **{stem: one}))
        stacked = lora.applied(model, stacked, 0.0, 0.3)[1]
        wanted = wanted + 0.3 / 2 * (one["lora_up.weight"] @ one["lora_down.weight"])
    found = stacked.towers[0].network.get().get_parameter(f"text.{TEXT}.weight")
    assert (found - wanted.half().float()).abs().max() < 4e-3
    assert (found == wanted.half().float()).float().mean() > 0.99


def test_no_strength_is_no_lora(sd1, tmp_path):
    loader, path = sd1
    model, clip, _ = loader.checkpoint(path)
    lora = loader.lora(file(tmp_path, **{f"unet.{QUERY}": rank_two(16, 16)}))
    same, same_clip = lora.applied(model, clip, 0.0, 0.0)
    assert same.network is model.network
    assert same_clip.towers == clip.towers


NAMES_OF_SD1 = [
    f"lora_unet_{QUERY.replace('.', '_')}",
    "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q",
    "lycoris_input_blocks_1_1_transformer_blocks_0_attn1_to_q",
    "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q",
    f"unet.{QUERY}",
    f"base_model.model.{QUERY}",
    QUERY,
]


@pytest.mark.parametrize("stem", NAMES_OF_SD1)
def test_a_module_is_found_by_each_name_that_files_have_for_it(sd1, tmp_path, stem):
    loader, path = sd1
    model, _, _ = loader.checkpoint(path)
    lora = loader.lora(file(tmp_path, **{stem: rank_two(16, 16)}))
    changed_model, _ = lora.applied(model, None, 1.0, 0.0)
    assert not torch.equal(weight(changed_model, QUERY), weight(model, QUERY))


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (f"unet.{QUERY}.lora_B.weight", f"unet.{QUERY}.lora_A.weight"),
        (f"{QUERY}.lora_B.default.weight", f"{QUERY}.lora_A.default.weight"),
        (f"unet.{QUERY}.lora.up.weight", f"unet.{QUERY}.lora.down.weight"),
        *(
            (f"{stem}_lora.up.weight", f"{stem}_lora.down.weight")
            for stem in (QUERY.replace("to_q", "processor.to_q"),)
        ),
    ],
)
def test_the_two_halves_are_found_by_each_name_that_files_have_for_them(sd1, tmp_path, up, down):
    loader, path = sd1
    model, _, _ = loader.checkpoint(path)
    tensors = {up: torch.randn(16, 2), down: torch.randn(2, 16)}
    lora = loader.lora(tiny.written(tmp_path / "a.safetensors", tensors, torch.float32))
    changed_model, _ = lora.applied(model, None, 1.0, 0.0)
    wanted = weight(model, QUERY) + tensors[up] @ tensors[down]
    assert torch.allclose(weight(changed_model, QUERY), wanted, atol=1e-6)


@pytest.mark.covers("R123")
def test_both_text_encoders_of_sdxl_are_changed_by_their_numbers(sdxl, tmp_path):
    loader, path = sdxl
    model, clip, _ = loader.checkpoint(path)
    layer = TEXT.replace(".", "_")
    stems = {
        "lora_unet_input_blocks_3_1_transformer_blocks_1_attn2_to_k": rank_two(64, 192),
        f"lora_te1_text_model_{layer}": rank_two(128, 64),
        f"lora_te2_text_model_{layer}": rank_two(256, 128),
        f"text_encoder_2.text_model.{TEXT.replace('fc1', 'fc2')}": rank_two(128, 256),
    }
    with capture_logs() as logged:
        changed_model, changed_clip = loader.lora(file(tmp_path, **stems)).applied(
            model, clip, 1.0, 1.0
        )
    assert not logged
    changed_names = [
        sorted(
            name
            for (name, old), new in zip(
                one.network.get().named_parameters(), other.network.get().parameters(), strict=True
            )
            if not torch.equal(old, new)
        )
        for one, other in zip(
            (model, *clip.towers), (changed_model, *changed_clip.towers), strict=True
        )
    ]
    assert changed_names == [
        ["down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k.weight"],
        [f"text.{TEXT}.weight"],
        [f"text.{TEXT}.weight", f"text.{TEXT.replace('fc1', 'fc2')}.weight"],
    ]
    plain, led = latent_of(model, clip), latent_of(changed_model, changed_clip)
    assert led.isfinite().all()
    assert not torch.allclose(plain, led)


def test_what_fits_nowhere_is_told_and_what_is_for_another_model_is_refused(sd1, sdxl, tmp_path):
    loader, path = sd1
    model, clip, _ = loader.checkpoint(path)
    extra = {"lora_unet_nowhere": rank_two(4, 4), f"unet.{QUERY}": rank_two(16, 16)}
    with capture_logs() as logged:
        loader.lora(file(tmp_path, **extra)).applied(model, clip, 1.0, 1.0)
    assert [line["count"] for line in logged] == [1]
    nowhere = {"transformer.transformer_blocks.0.attn.to_q": rank_two(4, 4)}
    of_another = loader.lora(file(tmp_path, "b", **nowhere))
    with pytest.raises(Refused, match="no module of it is in this one"):
        of_another.applied(model, clip, 1.0, 1.0)
    of_other_sizes = loader.lora(file(tmp_path, "c", **{f"unet.{QUERY}": rank_two(32, 32)}))
    with pytest.raises(Refused, match="its sizes are others"):
        of_other_sizes.applied(model, clip, 1.0, 1.0)
    with pytest.raises(Refused, match="holds no LoRA"):
        loader.lora(path)


def test_the_changed_network_shares_what_is_not_changed(sd1, tmp_path):
    loader, path = sd1
    model, _, _ = loader.checkpoint(path)
    lora = loader.lora(file(tmp_path, **{f"unet.{QUERY}": rank_two(16, 16)}))
    loader.free()
    alone, _ = lora.applied(model, None, 1.0, 0.0)
    first = alone.network.get().state_dict()
    assert loader.cache.find(model.network.key) is None, "the base is not kept beside it"
    loader.free()
    base = dict(model.network.get().named_parameters())
    shared = dict(alone.network.get().named_parameters())
    assert [name for name in base if base[name] is not shared[name]] == [f"{QUERY}.weight"]
    assert all(torch.equal(first[name], tensor) for name, tensor in shared.items())


@pytest.mark.parametrize("kept", ["fp8_e4m3fn", "int8", "Q8_0", "Q4_0"])
def test_weights_that_are_kept_packed_stay_so(sd1, tmp_path, kept):
    loader, path = sd1
    if kept.startswith("Q"):
        wide = f"model.diffusion_model.{unet_name(f'{LAYER}.weight', tiny.SD1_UNET)}"
        choose = {wide: kept}
        path = tmp_path / "tiny.gguf"
        write_gguf(path, tiny.sd1(), lambda name, _tensor: choose.get(name, "F32"))
        model = loader.diffusion_model(path)
    else:
        model = loader.diffusion_model(path, kept)
    parts = rank_two(16, 64)
    lora = loader.lora(file(tmp_path, **{f"unet.{LAYER}": parts}))
    twice, _ = lora.applied(lora.applied(model, None, 0.5, 0.0)[0], None, 0.25, 0.0)
    old, new = weight(model, LAYER), weight(twice, LAYER)
    assert isinstance(old, PackedTensor)
    assert isinstance(new, PackedTensor)
    assert new.nbytes < 4 * new.numel()
    wanted = old.dequantised(torch.float32) + 0.75 * product(parts)
    # Eight bits round to a sixteenth of a number at worst, or to a step of its row.
    nearest = {"fp8_e4m3fn": 0.07 * wanted.abs() + 0.01, "int8": wanted.abs().amax() / 127}
    assert ((new.dequantised(torch.float32) - wanted).abs() <= nearest.get(kept, 1e-5)).all()
    assert torch.allclose(new[3:5].float(), new.dequantised(torch.float32)[3:5], atol=1e-6)


def low(outputs, inputs) -> Tensor:
    return torch.randn(outputs, inputs)


def test_each_kind_of_change_is_its_formula():
    torch.manual_seed(5)
    base = torch.randn(6, 4)
    up, down, magnitude = low(6, 2), low(2, 4), low(6, 1).abs()
    lora = {"lora_up": up, "lora_down": down, "alpha": torch.tensor(4.0)}
    assert torch.allclose(changed(base, lora, 0.5), base + 0.5 * 2 * up @ down)
    assert torch.allclose(
        changed(base[2:4], lora, 0.5, slice(2, 4)), (base + 0.5 * 2 * up @ down)[2:4]
    )
    a, b, c, d = low(6, 3), low(3, 4), low(6, 3), low(3, 4)
    loha = {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d}
    assert torch.allclose(changed(base, loha, 2.0), base + 2.0 * (a @ b) * (c @ d))
    one, two = low(2, 2), low(3, 2)
    lokr = {"lokr_w1": one, "lokr_w2": two, "alpha": torch.tensor(9.0)}
    assert torch.allclose(changed(base, lokr, 1.0), base + torch.kron(one, two)), "full: no alpha"
    left, right = low(3, 2), low(2, 2)
    half = {"lokr_w1": one, "lokr_w2_a": left, "lokr_w2_b": right, "alpha": torch.tensor(4.0)}
    assert torch.allclose(changed(base, half, 1.0), base + 2.0 * torch.kron(one, left @ right))
    total = base + up @ down * 2
    dora = lora | {"dora_scale": magnitude}
    turned = total * magnitude / base.norm(dim=1, keepdim=True)
    assert torch.allclose(changed(base, dora, 1.0), turned, atol=1e-5)
    assert torch.allclose(changed(base, dora, 0.5), (base + turned) / 2, atol=1e-5)
    across = lora | {"dora_scale": low(1, 4).abs()}
    turned = total * across["dora_scale"] / total.norm(dim=0, keepdim=True)
    assert torch.allclose(changed(base, across, 1.0), turned, atol=1e-5)
    of_peft = lora | {"magnitude": magnitude[:, 0]}
    turned = total * magnitude / total.norm(dim=1, keepdim=True)
    assert torch.allclose(changed(base, of_peft, 1.0), turned, atol=1e-5)
    assert torch.allclose(changed(base, {"diff": base}, -1.0), torch.zeros(6, 4))


def test_convolutions_with_a_core_are_their_formula():
    torch.manual_seed(6)
    base = torch.zeros(5, 4, 3, 3)
    up, core, down = torch.randn(5, 2, 1, 1), torch.randn(2, 2, 3, 3), torch.randn(2, 4, 1, 1)
    locon = {"lora_up": up, "lora_mid": core, "lora_down": down}
    wanted = torch.einsum("or,rskl,si->oikl", up[..., 0, 0], core, down[..., 0, 0])
    assert torch.allclose(changed(base, locon, 1.0), wanted, atol=1e-5)
    cores = [torch.randn(2, 2, 3, 3) for _ in range(2)]
    lefts, rights = [torch.randn(2, 5) for _ in range(2)], [torch.randn(2, 4) for _ in range(2)]
    loha: dict[str, Tensor] = {}
    for n in (1, 2):
        loha |= {
            f"hada_t{n}": cores[n - 1],
            f"hada_w{n}_a": lefts[n - 1],
            f"hada_w{n}_b": rights[n - 1],
        }
    one, two = (
        torch.einsum("ijkl,io,jr->orkl", core, left, right)
        for core, left, right in zip(cores, lefts, rights, strict=True)
    )
    assert torch.allclose(changed(base, loha, 1.0), one * two, atol=1e-4)
    first, second = torch.randn(5, 2), torch.randn(1, 2, 3, 3)
    lokr = {"lokr_w1": first, "lokr_w2": second}
    wanted = torch.einsum("ab,cdkl->acbdkl", first, second).reshape(5, 4, 3, 3)
    assert torch.allclose(changed(base, lokr, 1.0), wanted)


@pytest.mark.covers("R039")
def test_models_are_blended_weight_by_weight_and_block_by_block(sd1, tmp_path):
    loader, path = sd1
    other = {name: torch.randn_like(tensor) / 8 for name, tensor in tiny.sd1().items()}
    second = tiny.written(tmp_path / "other.safetensors", other)
    (one, clip, _), (two, clip_two, _) = loader.checkpoint(path), loader.checkpoint(second)
    up = "up_blocks.0.resnets.0.conv1"
    a, b = weight(one, QUERY), weight(two, QUERY)
    blend = one.blended(two, {"": (0.25, 0.75)})
    assert torch.allclose(weight(blend, QUERY), 0.25 * a + 0.75 * b)
    by_block = one.blended(two, {"": (1.0, 0.0), "out": (0.0, 1.0)})
    assert torch.equal(weight(by_block, QUERY), a)
    assert torch.equal(weight(by_block, up), weight(two, up))
    difference = one.blended(two, {"": (1.0, -1.0)})
    assert torch.allclose(weight(difference.blended(two, {"": (1.0, 1.0)}), QUERY), a, atol=1e-6)
    name = f"text.{TEXT}.weight"
    texts = [found.towers[0].network.get().get_parameter(name) for found in (clip, clip_two)]
    merged = clip.blended(clip_two, 0.5, 0.5).towers[0].network.get().get_parameter(name)
    assert torch.allclose(merged, (texts[0] + texts[1]) / 2)


def test_models_of_different_sizes_are_not_blended(sd1, sdxl):
    (one, *_), (two, *_) = (loader.checkpoint(path) for loader, path in (sd1, sdxl))
    with pytest.raises(Refused, match="same kind and sizes"):
        one.blended(two, {"": (0.5, 0.5)})
