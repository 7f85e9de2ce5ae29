"""Whole adapters in every published layout: each module of a network is changed, none is dropped.

What is wanted is made without any map of names: the published file itself, with each of its
weights changed, read as a model.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from structlog.testing import capture_logs
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.values import Latents
from libs.sampling.conditioning import Conditioning, Entry
from tests.unit.libs.diffusion import layouts, tiny, tiny_video

PREFIX = "model.diffusion_model."
KOHYA = (".lora_up.weight", ".lora_down.weight")
PEFT = (".lora_B.weight", ".lora_A.weight")
NAMED = (".lora_B.style.weight", ".lora_A.style.weight")
BARE = (".lora_B", ".lora_A")
FLUX = "double_blocks.0."


def each(*ways) -> list[Any]:
    """Return each layout for each kind of model; SDXL is large, and has the first one alone."""
    kinds = ("sd1", "sd3", "flux")
    large = pytest.param("sdxl", *ways[0], marks=pytest.mark.long)
    return [large, *((kind, *one) for one in ways for kind in kinds)]


def files() -> dict[str, Any]:
    return {
        "sd1": tiny.unet_tensors(tiny.SD1_UNET),
        "sdxl": tiny.unet_tensors(tiny.SDXL_UNET),
        "sd3": layouts.sd3_tensors(layouts.sd3(layouts.SD35_MEDIUM)),
        "flux": layouts.flux_tensors(layouts.flux(), PREFIX),
    }


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("layouts")
    loader = tiny.loader()
    torch.manual_seed(5)
    known = files()
    models = {
        name: loader.diffusion_model(
            tiny.written(folder / f"{name}.safetensors", tensors, torch.float32)
        )
        for name, tensors in known.items()
    }
    return loader, known, models, folder


def factors(weight: Tensor) -> tuple[Tensor, Tensor]:
    up = torch.randn(weight.shape[0], 1, *(1 for _ in weight.shape[2:]))
    return up, torch.randn(1, *weight.shape[1:])


def product(up: Tensor, down: Tensor) -> Tensor:
    return (up.flatten(1) @ down.flatten(1)).reshape(len(up), *down.shape[1:])


def adapter(tensors, stem_of, ends) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return an adapter of all layers of a file, and the file with it in."""
    torch.manual_seed(9)
    lora: dict[str, Tensor] = {}
    changed = dict(tensors)
    for name, weight in tensors.items():
        if name.endswith(".weight") and weight.ndim > 1:
            up, down = factors(weight)
            stem = stem_of(name.removeprefix(PREFIX).removesuffix(".weight"))
            lora |= {stem + ends[0]: up, stem + ends[1]: down}
            changed[name] = weight + 0.5 * product(up, down)
    return lora, changed


def with_adapter(house, kind, lora) -> Any:
    loader, _, models, folder = house
    name = f"lora-{len(list(folder.iterdir()))}.safetensors"
    path = tiny.written(folder / name, lora, torch.float32)
    with capture_logs() as logs:
        model, _ = loader.lora(path).applied(models[kind], None, 0.5, 0.0)
    assert not [one for one in logs if one["event"] == "lora.modules_unknown"], logs
    return model


def require_same(model, wanted) -> None:
    found = dict(model.network.get().named_parameters())
    for name, one in wanted.network.get().named_parameters():
        assert torch.allclose(found[name], one, atol=1e-5), name


@pytest.mark.covers("R137", "R157")
@pytest.mark.parametrize(
    ("kind", "start", "flat", "ends"),
    each(
        ("lora_unet_", True, KOHYA),
        ("diffusion_model.", False, PEFT),
        ("diffusion_model.", False, KOHYA),
        ("base_model.model.", False, NAMED),
        ("", False, BARE),
    ),
)
def test_no_layer_of_a_single_file_is_dropped(house, tmp_path, kind, start, flat, ends):
    loader, known, *_ = house

    def stem_of(module) -> str:
        return f"{start}{module.replace('.', '_') if flat else module}"

    lora, changed = adapter(known[kind], stem_of, ends)
    path = tiny.written(tmp_path / "whole.safetensors", changed, torch.float32)
    require_same(with_adapter(house, kind, lora), loader.diffusion_model(path))


@pytest.mark.covers("R137", "R157")
@pytest.mark.parametrize(
    ("kind", "start", "flat", "ends"),
    each(
        ("transformer.", False, PEFT),
        ("unet.", False, (".lora.up.weight", ".lora.down.weight")),
        ("lora_transformer_", True, KOHYA),
        ("lora_unet_", True, KOHYA),
        ("lycoris_", True, KOHYA),
        ("base_model.model.", False, PEFT),
        ("transformer.base_model.model.", False, NAMED),
    ),
)
def test_no_layer_under_diffusers_names_is_dropped(house, kind, start, flat, ends):
    network = house[2][kind].network.get()
    torch.manual_seed(9)
    lora: dict[str, Tensor] = {}
    wanted: dict[str, Tensor] = {}
    for name, weight in network.named_parameters():
        if weight.ndim < 2 or not name.endswith(".weight"):
            continue
        module = name.removesuffix(".weight")
        up, down = factors(weight)
        stem = start + (module.replace(".", "_") if flat else module)
        lora |= {stem + ends[0]: up, stem + ends[1]: down}
        wanted[name] = weight + 0.5 * product(up, down)
    changed = dict(with_adapter(house, kind, lora).network.get().named_parameters())
    assert all(torch.allclose(changed[name], one, atol=1e-5) for name, one in wanted.items())


@pytest.mark.covers("R137")
@pytest.mark.parametrize(
    ("names", "kind", "starts"),
    [
        (("t5xxl", "clip_l"), "flux", {"clip_l": "lora_te1_", "t5xxl": "lora_te2_"}),
        (("t5xxl", "clip_l"), "flux", {"clip_l": "lora_te1_", "t5xxl": "lora_te3_"}),
        (("t5xxl", "clip_l"), "flux", {"clip_l": "text_encoder.", "t5xxl": "text_encoder_3."}),
        (
            ("clip_l", "clip_g", "t5xxl"),
            "sd3",
            {"clip_l": "lora_te1_", "clip_g": "lora_te2_", "t5xxl": "lora_te3_"},
        ),
        (
            ("clip_l", "clip_g", "t5xxl"),
            "sd3",
            {name: f"text_encoders.{name}.transformer." for name in ("clip_l", "clip_g", "t5xxl")},
        ),
    ],
)
def test_no_layer_of_a_text_encoder_is_dropped(tmp_path, names, kind, starts):
    loader = tiny.loader()
    states = {
        "clip_l": {f"text_model.{n}": t for n, t in tiny.text_encoder(64, 1).state_dict().items()},
        "clip_g": {
            f"text_model.{n}": t for n, t in tiny.text_encoder(128, 31, "gelu").state_dict().items()
        },
        "t5xxl": layouts.t5_tensors(layouts.t5()),
    }
    (tmp_path / "tokenizer.json").write_text(layouts.word_tokenizer().to_str())
    paths = [tiny.written(tmp_path / f"{name}.safetensors", states[name]) for name in names]
    clip = loader.text_encoders(paths, kind)
    model = loader.diffusion_model(
        tiny.written(tmp_path / "unet.safetensors", tiny.unet_tensors(tiny.SD1_UNET))
    )
    lora: dict[str, Tensor] = {}
    for name, start in starts.items():
        for module, weight in states[name].items():
            stem = module.removesuffix(".weight")
            inner = ".".join(part for part in stem.split(".") if part != "text_model")
            attends = "SelfAttention" in stem or "DenseReluDense" in stem or "layers." in stem
            if weight.ndim != 2 or not attends:
                continue
            whole = stem if name == "t5xxl" else f"text_model.{inner}"
            up, down = factors(weight)
            full = start + (whole.replace(".", "_") if start.startswith("lora_") else whole)
            lora |= {f"{full}.lora_up.weight": up, f"{full}.lora_down.weight": down}
    path = tiny.written(tmp_path / "lora.safetensors", lora, torch.float32)
    with capture_logs() as logs:
        _, changed = loader.lora(path).applied(model, clip, 1.0, 1.0)
    assert not [one for one in logs if one["event"] == "lora.modules_unknown"], logs
    assert changed is not None
    for before, after in zip(clip.towers, changed.towers, strict=True):
        new = dict(after.network.get().named_parameters())
        attending = ("self_attn", "fc", "SelfAttention.q", "DenseReluDense")
        layers = [
            (name, one)
            for name, one in before.network.get().named_parameters()
            if one.ndim == 2 and any(word in name for word in attending)
        ]
        assert layers
        assert not [name for name, one in layers if torch.equal(new[name], one)]


def test_flux_as_xlabs_names_it(house):
    names = {
        "double_blocks.0.processor.qkv_lora1": ("img_attn.qkv", "attn.to_v", slice(128, 192)),
        "double_blocks.0.processor.qkv_lora2": ("txt_attn.qkv", "attn.add_q_proj", slice(0, 64)),
        "double_blocks.0.processor.proj_lora1": ("img_attn.proj", "attn.to_out.0", slice(0, 64)),
        "double_blocks.0.processor.proj_lora2": ("txt_attn.proj", "attn.to_add_out", slice(0, 64)),
    }
    torch.manual_seed(3)
    pairs = {
        stem: (torch.randn(192 if "qkv" in stem else 64, 2), torch.randn(2, 64)) for stem in names
    }
    pairs["single_blocks.1.processor.qkv_lora"] = (torch.randn(192, 2), torch.randn(2, 64))
    lora = {f"{stem}.up.weight": up for stem, (up, _) in pairs.items()}
    lora |= {f"{stem}.down.weight": down for stem, (_, down) in pairs.items()}
    model = with_adapter(house, "flux", lora)
    before = house[2]["flux"].network.get()
    for stem, (_, module, rows) in names.items():
        name = f"transformer_blocks.0.{module}.weight"
        wanted = before.get_parameter(name) + 0.5 * (pairs[stem][0] @ pairs[stem][1])[rows]
        assert torch.allclose(model.network.get().get_parameter(name), wanted, atol=1e-5)
    name = "single_transformer_blocks.1.attn.to_k.weight"
    up, down = pairs["single_blocks.1.processor.qkv_lora"]
    wanted = before.get_parameter(name) + 0.5 * (up @ down)[64:128]
    assert torch.allclose(model.network.get().get_parameter(name), wanted, atol=1e-5)


def control_lora(tensors) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return a LoRA as of Flux Canny and Depth, and the file of the same network."""
    inner = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    inner["img_in.weight"] = torch.nn.functional.pad(inner["img_in.weight"], (0, 64))
    lora, changed = adapter(inner, lambda stem: stem, PEFT)
    torch.manual_seed(4)
    for name, tensor in inner.items():
        if name.endswith(".bias"):
            lora[f"{name.removesuffix('.bias')}.lora_B.bias"] = added = torch.randn_like(tensor)
            changed[name] = tensor + 0.5 * added
        if name.endswith("_norm.scale"):
            lora[name] = changed[name] = torch.rand_like(tensor) + 0.5
    return lora, changed


def test_flux_canny_and_depth_as_a_lora_make_flux_see_a_drawing(house, tmp_path):
    loader, known, models, _ = house
    lora, changed = control_lora(known["flux"])
    model = with_adapter(house, "flux", lora)
    wanted = loader.diffusion_model(
        tiny.written(tmp_path / "w.safetensors", changed, torch.float32)
    )
    assert model.family == wanted.family == "flux_control"
    require_same(model, wanted)
    path = tiny.written(tmp_path / "l.safetensors", lora, torch.float32)
    same, _ = loader.lora(path).applied(models["flux"], None, 0.0, 0.0)
    assert same.family == "flux_dev"
    assert same.network is models["flux"].network
    told = Conditioning((Entry(torch.randn(1, 5, 4096), torch.randn(1, 64)),))
    ends = []
    for drawing in (torch.zeros(1, 16, 8, 8), torch.randn(1, 16, 8, 8)):
        text = told.around(Latents(drawing))
        end = model.sample(
            Latents(torch.zeros(1, 16, 8, 8)), positive=text, negative=text, seed=1, steps=1,
            cfg=1.0, sampler="euler", scheduler="simple", on_step=tiny.no_step,
        ).samples  # fmt: skip
        assert end.isfinite().all()
        ends.append(end)
    assert not torch.allclose(*ends)


def test_a_motion_lora_moves_the_camera_of_animatediff(house, tmp_path):
    loader, _, models, _ = house
    network = tiny_video.motion_network()
    path = tiny.written(tmp_path / "mm.safetensors", tiny_video.first_motion_names(network))
    moving = loader.motion_model(path).applied_to(models["sd1"], 16, 4)
    torch.manual_seed(6)
    lora: dict[str, Tensor] = {}
    wanted: dict[str, Tensor] = {}
    for name, weight in moving.network.get().named_parameters():
        if ".motion_modules." not in name or ".attn" not in name or weight.ndim < 2:
            continue
        up, down = factors(weight)
        stem = name.removesuffix(".weight").replace(".to_out.0", ".to_out")
        first = stem.replace(".transformer_blocks.", ".temporal_transformer.transformer_blocks.")
        for at in (1, 2):
            first = first.replace(f".attn{at}.", f".attention_blocks.{at - 1}.processor.")
        lora |= {f"{first}_lora.up.weight": up, f"{first}_lora.down.weight": down}
        wanted[name] = weight + 0.7 * product(up, down)
    assert len(wanted) > 8
    motion_lora = loader.lora(tiny.written(tmp_path / "pan.safetensors", lora, torch.float32))
    with capture_logs() as logs:
        changed, _ = motion_lora.applied(moving, None, 0.7, 0.0)
    assert not logs
    new = dict(changed.network.get().named_parameters())
    assert all(torch.allclose(new[name], one, atol=1e-5) for name, one in wanted.items())
    with pytest.raises(Refused, match="another kind of model"):
        motion_lora.applied(models["sd1"], None, 0.7, 0.0)


def test_a_lora_of_pictures_finds_all_its_layers_in_a_network_with_motion(house, tmp_path):
    """The layer that halves the picture once bore the name that its motion got."""
    loader, known, models, folder = house
    network = tiny_video.motion_network()
    path = tiny.written(tmp_path / "mm.safetensors", tiny_video.first_motion_names(network))
    moving = loader.motion_model(path).applied_to(models["sd1"], 16, 4)
    lora, changed = adapter(known["sd1"], lambda m: "lora_unet_" + m.replace(".", "_"), KOHYA)
    path = tiny.written(tmp_path / "l.safetensors", lora, torch.float32)
    after = loader.lora(path).applied(moving, None, 0.5, 0.0)[0].network.get()
    wanted = loader.diffusion_model(tiny.written(folder / "w.safetensors", changed, torch.float32))
    for name, one in wanted.network.get().named_parameters():
        assert torch.allclose(after.get_parameter(name), one, atol=1e-5), name


def test_what_is_no_part_of_a_change_is_told(house, tmp_path):
    loader, known, models, _ = house
    lora, _ = adapter(known["flux"], lambda stem: f"diffusion_model.{stem}", PEFT)
    lora |= {
        "bundle_emb.fox.string_to_param.*": torch.zeros(2),
        "diffusion_model.nobody.alpha": torch.ones(1),
    }
    path = tiny.written(tmp_path / "l.safetensors", lora, torch.float32)
    with capture_logs() as logs:
        loader.lora(path).applied(models["flux"], None, 1.0, 0.0)
    (told,) = [one for one in logs if one["event"] == "lora.modules_unknown"]
    assert told["count"] == 2
    assert set(told["first"]) == {"bundle_emb.fox.string_to_param.*", "diffusion_model.nobody"}
