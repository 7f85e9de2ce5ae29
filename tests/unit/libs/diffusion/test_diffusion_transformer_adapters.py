"""Adapters of Stable Diffusion 3 and Flux: LoRAs in all namings, ControlNets against diffusers'."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FluxControlNetModel, SD3ControlNetModel
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.adapters.names import tower_numbers
from libs.diffusion.architectures.patching import packed
from libs.diffusion.control import detect
from libs.diffusion.values import Latents, Mask, Picture
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.control import Call, merged
from tests.unit.libs.diffusion import layouts, tiny

HINT = Picture(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3)))
POOLED = {"sd3": 192, "flux": 768}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("house")
    loader = tiny.loader()
    networks = {"sd3": layouts.sd3(), "flux": layouts.flux()}
    tensors = {"sd3": layouts.sd3_tensors, "flux": layouts.flux_tensors}
    models = {
        name: loader.diffusion_model(
            tiny.written(folder / f"{name}.safetensors", tensors[name](network), torch.float32)
        )
        for name, network in networks.items()
    }
    vae = loader.vae(tiny.written(folder / "vae.safetensors", layouts.vae16_tensors("")))
    return loader, networks, models, vae


def pooled_width(network) -> int:
    return int(network.config.pooled_projection_dim)


def text(network) -> Conditioning:
    context = numbers(1, 12, network.config.joint_attention_dim, seed=4)
    return Conditioning((Entry(context, numbers(1, pooled_width(network), seed=5)),))


def latent_of(model, positive, negative, side=8) -> Tensor:
    end: Tensor = model.sample(
        Latents(torch.zeros(1, 16, side, side)), positive=positive, negative=negative, seed=1,
        steps=2, cfg=3.0, sampler="euler", scheduler="simple", on_step=tiny.no_step,
    ).samples  # fmt: skip
    return end


def parameter(model, name) -> Tensor:
    found: Tensor = model.network.get().get_parameter(name)
    return found


def low_rank(outputs, inputs) -> tuple[Tensor, Tensor]:
    return numbers(outputs, 2, seed=outputs), numbers(2, inputs, seed=inputs)


NAMED = [
    ("flux", "transformer.transformer_blocks.0.attn.to_q", ["transformer_blocks.0.attn.to_q"]),
    (
        "flux",
        "lora_unet_double_blocks_0_img_attn_qkv",
        [f"transformer_blocks.0.attn.to_{part}" for part in "qkv"],
    ),
    (
        "flux",
        "diffusion_model.double_blocks.0.txt_attn.qkv",
        [f"transformer_blocks.0.attn.add_{part}_proj" for part in "qkv"],
    ),
    (
        "flux",
        "lora_unet_single_blocks_0_linear1",
        [
            *(f"single_transformer_blocks.0.attn.to_{part}" for part in "qkv"),
            "single_transformer_blocks.0.proj_mlp",
        ],
    ),
    ("flux", "lora_unet_single_blocks_0_linear2", ["single_transformer_blocks.0.proj_out"]),
    ("flux", "lora_unet_double_blocks_0_img_mlp_0", ["transformer_blocks.0.ff.net.0.proj"]),
    (
        "flux",
        "lora_transformer_single_transformer_blocks_0_proj_mlp",
        ["single_transformer_blocks.0.proj_mlp"],
    ),
    ("sd3", "transformer.transformer_blocks.0.attn.to_k", ["transformer_blocks.0.attn.to_k"]),
    (
        "sd3",
        "diffusion_model.joint_blocks.0.x_block.attn.qkv",
        [f"transformer_blocks.0.attn.to_{part}" for part in "qkv"],
    ),
    (
        "sd3",
        "lora_unet_joint_blocks_0_context_block_attn_qkv",
        [f"transformer_blocks.0.attn.add_{part}_proj" for part in "qkv"],
    ),
    (
        "sd3",
        "lora_unet_joint_blocks_1_x_block_mlp_fc1",
        ["transformer_blocks.1.ff.net.0.proj"],
    ),
]


@pytest.mark.covers("R137")
@pytest.mark.parametrize(("kind", "stem", "modules"), NAMED)
def test_a_lora_of_joined_layers_changes_each_of_ours(house, tmp_path, kind, stem, modules):
    loader, _, models, _ = house
    model = models[kind]
    before = [parameter(model, f"{module}.weight") for module in modules]
    up, down = low_rank(sum(len(one) for one in before), before[0].shape[1])
    ends = (
        (".lora_B.weight", ".lora_A.weight")
        if "." in stem
        else (".lora_up.weight", ".lora_down.weight")
    )
    tensors = {stem + ends[0]: up, stem + ends[1]: down}
    lora = loader.lora(tiny.written(tmp_path / "l.safetensors", tensors, torch.float32))
    changed, _ = lora.applied(model, None, 0.5, 0.0)
    after = torch.cat([parameter(changed, f"{module}.weight") for module in modules])
    assert torch.allclose(after, torch.cat(before) + 0.5 * up @ down, atol=1e-5)
    names = {name for name, _ in model.network.get().named_parameters()}
    untouched = names - {f"{module}.weight" for module in modules}
    assert all(torch.equal(parameter(changed, name), parameter(model, name)) for name in untouched)


@pytest.mark.covers("R137")
def test_a_lora_changes_what_flux_paints(house, tmp_path):
    loader, networks, models, _ = house
    up, down = low_rank(64, 64)
    stem = "transformer.single_transformer_blocks.0.attn.to_q"
    tensors = {f"{stem}.lora_B.weight": up, f"{stem}.lora_A.weight": down}
    lora = loader.lora(tiny.written(tmp_path / "l.safetensors", tensors, torch.float32))
    sides = (text(networks["flux"]),) * 2
    plain, changed, none = (
        latent_of(lora.applied(models["flux"], None, strength, 0.0)[0], *sides)
        for strength in (0.0, 0.8, 0.0)
    )
    assert torch.equal(plain, none)
    assert changed.isfinite().all()
    assert not torch.allclose(plain, changed)


def test_text_encoders_are_counted_as_files_count_them():
    counted = {
        names: [set(one) for one in tower_numbers(names.split())]
        for names in ("l", "g", "l g", "l t5xxl", "l g t5xxl")
    }
    assert counted == {
        "l": [{0}],
        "g": [{1, 0}],
        "l g": [{0}, {1}],
        "l t5xxl": [{0}, {2, 1}],
        "l g t5xxl": [{0}, {1}, {2}],
    }


def control_of(network, **changed) -> Any:
    if hasattr(network, "single_transformer_blocks"):
        config = dict(network.config) | {"num_layers": 1, "num_single_layers": 1} | changed
        made: Any = FluxControlNetModel.from_config(config)
    else:
        config = dict(network.config) | {"num_layers": 1} | changed
        made = SD3ControlNetModel.from_config(config)
    return layouts.randomised(made, 9).eval()


@pytest.mark.covers("R163")
@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_a_control_net_adds_what_diffusers_adds(house, tmp_path, kind):
    loader, networks, models, vae = house
    network, model = networks[kind], models[kind]
    theirs = control_of(network)
    net = loader.control_net(
        tiny.written(tmp_path / "cn.safetensors", theirs.state_dict(), torch.float32)
    )
    x, pooled = numbers(1, 16, 8, 8), numbers(1, pooled_width(network), seed=2)
    context = text(network).entries[0].context
    extras = {"pooled": pooled} | ({"guidance": torch.tensor([3.5])} if kind == "flux" else {})
    time = 500.0 if kind == "sd3" else 0.5
    call = Call(x, torch.tensor([time]), context, extras, sigma=0.5, positive=(True,))
    (entry,) = net.applied(text(network), HINT, 0.75, vae=vae).entries
    with torch.inference_mode():
        found = entry.control[0](call, model.levels)
        hint = model.architecture.latent.inward(vae.encode(HINT).samples)
        if kind == "sd3":
            wanted = theirs(x, hint, 0.75, context, pooled, call.timestep, return_dict=False)[0]
            assert torch.allclose(found["blocks"][0], wanted[0], atol=1e-4)
        else:
            ids = torch.stack([
                torch.zeros(16), torch.arange(4).repeat_interleave(4), torch.arange(4).repeat(4)
            ], 1)  # fmt: skip
            theirs.union = False
            double, single = theirs(
                packed(x), packed(hint), None, 0.75, context, pooled, call.timestep, ids,
                torch.zeros(context.shape[1], 3), torch.tensor([3.5]), return_dict=False,
            )  # fmt: skip
            assert torch.allclose(found["double"][0], double[0], atol=1e-4)
            assert torch.allclose(found["single"][0], single[0], atol=1e-4)
    sides = (text(network), text(network).each(lambda one: Entry(one.context * 0.1, one.pooled)))
    plain = latent_of(model, *sides)
    led = latent_of(model, *net.applied_to_all(sides, HINT, 0.75, vae=vae))
    none = latent_of(model, *net.applied_to_all(sides, HINT, 0.0, vae=vae))
    assert torch.equal(plain, none)
    assert led.isfinite().all()
    assert not torch.allclose(plain, led)
    with pytest.raises(Refused, match="connect a VAE"):
        net.applied_to_all(sides, HINT, 0.75)


def test_a_union_for_flux_is_told_the_type(house, tmp_path):
    loader, networks, models, vae = house
    state = control_of(networks["flux"], num_mode=5).state_dict()
    net = loader.control_net(tiny.written(tmp_path / "union.safetensors", state, torch.float32))
    assert net.kind.types == 5
    sides = (text(networks["flux"]),) * 2
    ends = [
        latent_of(models["flux"], *net.of_type(name).applied_to_all(sides, HINT, 0.75, vae=vae))
        for name in ("auto", "openpose", "depth")
    ]
    for at, end in enumerate(ends):
        assert not any(torch.allclose(end, other) for other in ends[:at])
    unknown = net.of_type("tile").applied_to_all(sides, HINT, 0.75, vae=vae)
    with pytest.raises(Refused, match="does not know that type"):
        latent_of(models["flux"], *unknown)


@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_a_control_net_for_masked_parts_sees_the_mask(house, tmp_path, kind):
    loader, networks, models, vae = house
    network = networks[kind]
    made = control_of(network, **({"extra_conditioning_channels": 1} if kind == "sd3" else {}))
    if kind == "flux":
        made.controlnet_x_embedder = torch.nn.Linear(68, made.inner_dim)
        layouts.randomised(made.controlnet_x_embedder, 3)
    net = loader.control_net(
        tiny.written(tmp_path / "inpaint.safetensors", made.state_dict(), torch.float32)
    )
    assert net.kind.extra_channels == 1
    sides = (text(network),) * 2
    mask = torch.zeros(1, 64, 64)
    mask[:, 16:48] = 1.0
    whole, masked = (
        latent_of(models[kind], *net.applied_to_all(sides, HINT, 0.75, vae=vae, mask=one))
        for one in (None, Mask(mask))
    )
    assert not torch.allclose(whole, masked)


def test_a_control_net_of_xlabs_sees_the_pixels(house, tmp_path):
    loader, networks, models, vae = house
    made = control_of(networks["flux"], patch_size=2, conditioning_embedding_channels=16)
    state = made.state_dict()
    own = {n: t for n, t in state.items() if not n.startswith(("controlnet_", "input_hint"))}
    published = layouts.flux_tensors(_with(own)) | {
        name: tensor
        for name, tensor in state.items()
        if name.startswith(("controlnet_bl", "controlnet_si"))
    }
    for leaf in ("weight", "bias"):
        published[f"pos_embed_input.{leaf}"] = state[f"controlnet_x_embedder.{leaf}"]
        places = ["conv_in", *(f"blocks.{at}" for at in range(6)), "conv_out"]
        for at, place in enumerate(places):
            published[f"input_hint_block.{2 * at}.{leaf}"] = state[
                f"input_hint_block.{place}.{leaf}"
            ]
    final = [name for name in published if name.startswith("final_layer")]
    for name in final:
        del published[name]
    net = loader.control_net(tiny.written(tmp_path / "x.safetensors", published, torch.float32))
    assert net.kind.latent is None
    sides = (text(networks["flux"]),) * 2
    plain = latent_of(models["flux"], *sides)
    led = latent_of(models["flux"], *net.applied_to_all(sides, HINT, 0.75))
    assert led.isfinite().all()
    assert not torch.allclose(plain, led)
    assert vae is not None
    found = net.network.get().state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def _with(state) -> Any:
    """Return a network of the tiny kind that has these tensors, as far as it goes."""
    made = layouts.flux({**layouts.FLUX_DEV, "num_layers": 1, "num_single_layers": 1})
    made.load_state_dict(state, strict=False)
    return made


def test_fewer_places_each_stand_for_several():
    one = [torch.ones(1), torch.ones(1) * 2]
    four = [torch.ones(1) * 10 * at for at in range(4)]
    both = merged({"blocks": one}, {"blocks": four})
    assert [float(place or 0) for place in both["blocks"]] == [1.0, 11.0, 22.0, 32.0]
    assert merged({}, {"a": [None, one[0]]})["a"] == [None, one[0]]


def test_control_nets_for_other_models_are_refused(house, tmp_path):
    loader, networks, models, vae = house
    sd3 = loader.control_net(
        tiny.written(tmp_path / "a.safetensors", control_of(networks["sd3"]).state_dict())
    )
    sides = (text(networks["flux"]),) * 2
    with pytest.raises(Refused, match="Stable Diffusion 3"):
        latent_of(models["flux"], *sd3.applied_to_all(sides, HINT, 1.0, vae=vae))
    with pytest.raises(Refused, match="borrows its model"):
        detect({"pos_embed_input.proj.weight": (64, 16, 2, 2)})
