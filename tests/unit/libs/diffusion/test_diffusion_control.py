"""ControlNets: what they add, when, where, and that without strength they add nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.control import detect
from libs.diffusion.control.union import TYPES, with_types
from libs.diffusion.values import Latents, Picture
from libs.nodes.registry import schemas
from tests.fidelity.ldm_names import unet_name
from tests.unit.libs.diffusion import tiny


def network(config, seed=5) -> Any:
    torch.manual_seed(seed)
    made = ControlNetModel.from_unet(
        UNet2DConditionModel(**config), conditioning_embedding_out_channels=(4, 4, 8, 8)
    )
    return loud(made)


def loud(made) -> Any:
    for name, parameter in made.named_parameters():
        if "controlnet_" in name or "projection" in name:
            parameter.data.normal_(std=0.3)
    return made.eval()


def single_file(state, config) -> dict[str, Tensor]:
    """Return tensors under the names that single files have for a ControlNet's."""
    named = {}
    hints = sorted({name.rpartition(".")[0] for name in state if "cond_embedding.blocks" in name})
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        if module.startswith("controlnet_down_blocks."):
            new = f"zero_convs.{module.split('.')[1]}.0"
        elif module == "controlnet_mid_block":
            new = "middle_block_out.0"
        elif module == "controlnet_cond_embedding.conv_in":
            new = "input_hint_block.0"
        elif module == "controlnet_cond_embedding.conv_out":
            new = f"input_hint_block.{2 * len(hints) + 2}"
        elif module.startswith("controlnet_cond_embedding.blocks."):
            new = f"input_hint_block.{2 * int(module.split('.')[2]) + 2}"
        else:
            new = unet_name(name, config).rpartition(".")[0]
        named[f"control_model.{new}.{leaf}"] = tensor
    return named


@pytest.fixture(scope="module")
def sd1(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("sd1")
    loader = tiny.loader()
    parts = loader.checkpoint(tiny.written(folder / "tiny.safetensors", tiny.sd1()))
    state = network(tiny.SD1_UNET).state_dict()
    path = tiny.written(folder / "cn.safetensors", state)
    return loader, parts, loader.control_net(path), state


def latent_of(parts, positive, negative, **changed) -> Tensor:
    latent = changed.pop("latent", Latents(torch.zeros(1, 4, 8, 8)))
    given = {"seed": 1, "steps": 3, "cfg": 5.0, "sampler": "euler", "scheduler": "normal"}
    end: Tensor = parts[0].sample(
        latent, positive=positive, negative=negative,
        on_step=tiny.no_step, **(given | changed),
    ).samples  # fmt: skip
    return end


def texts(parts) -> Any:
    return parts[1].encode("a fox"), parts[1].encode("")


HINT = Picture(torch.rand(1, 40, 64, 3, generator=torch.Generator().manual_seed(3)))


@pytest.mark.covers("R163", "R171", "R173")
def test_a_picture_leads_by_its_strength_and_not_at_all_without(sd1):
    _, parts, net, _ = sd1
    positive, negative = texts(parts)
    plain = latent_of(parts, positive, negative)
    led = latent_of(parts, net.applied(positive, HINT, 0.75, both_sides=True), negative)
    other = latent_of(parts, net.applied(positive, HINT, 0.4, both_sides=True), negative)
    hint = Picture(1.0 - HINT.pixels)
    another = latent_of(parts, net.applied(positive, hint, 0.75, both_sides=True), negative)
    none = latent_of(parts, net.applied(positive, HINT, 0.0, both_sides=True), negative)
    assert torch.equal(plain, none)
    for first, second in ((plain, led), (led, other), (led, another)):
        assert first.isfinite().all()
        assert not torch.allclose(first, second)


def test_the_plain_way_leads_both_sides(sd1):
    _, parts, net, _ = sd1
    positive, negative = texts(parts)
    plain = latent_of(parts, net.applied(positive, HINT, 0.75, both_sides=True), negative)
    both = net.applied_to_all((positive, negative), HINT, 0.75)
    assert torch.equal(plain, latent_of(parts, *both))
    one = latent_of(parts, net.applied(positive, HINT, 0.75), negative)
    assert not torch.allclose(plain, one)
    mixed = latent_of(
        parts, net.applied(positive, HINT, 0.75, both_sides=True), net.applied(negative, HINT, 0.1)
    )
    assert not torch.allclose(plain, mixed), "a side that is led already stays so"


def test_it_leads_in_its_part_of_the_course_alone(sd1):
    _, parts, net, _ = sd1
    sides = texts(parts)
    plain = latent_of(parts, *sides)
    early = latent_of(parts, *net.applied_to_all(sides, HINT, 0.75, 0.0, 0.3))
    late = latent_of(parts, *net.applied_to_all(sides, HINT, 0.75, 0.3, 1.0))
    whole = latent_of(parts, *net.applied_to_all(sides, HINT, 0.75, 0.0, 1.0))
    # 999 is the first of three steps, and 0 comes only at the very end.
    never = latent_of(parts, *net.applied_to_all(sides, HINT, 0.75, 0.999, 0.9995))
    assert torch.equal(plain, never)
    for first, second in ((plain, early), (early, late), (late, whole)):
        assert not torch.allclose(first, second)


def test_several_add_up(sd1):
    _, parts, net, _ = sd1
    sides = texts(parts)
    twice = net.applied_to_all(net.applied_to_all(sides, HINT, 0.2), HINT, 0.3)
    once = net.applied_to_all(sides, HINT, 0.5)
    assert torch.allclose(latent_of(parts, *twice), latent_of(parts, *once), atol=1e-3)


def test_the_hint_is_fitted_to_the_part_that_is_painted(sd1):
    _, parts, net, _ = sd1
    positive, negative = texts(parts)
    led = net.applied(positive, HINT, 0.75)
    part = led.within(width=32, height=64, x=32, y=0, strength=1.0)
    plain = latent_of(parts, positive, negative)
    end = latent_of(parts, positive.combined(part), negative)
    assert not torch.allclose(plain[..., 6:], end[..., 6:])
    batch = Latents(torch.zeros(2, 4, 8, 8))
    two = Picture(torch.cat([HINT.pixels, 1.0 - HINT.pixels]))
    ends = latent_of(parts, *net.applied_to_all((positive, negative), two, 0.75), latent=batch)
    alone = latent_of(parts, *net.applied_to_all((positive, negative), HINT, 0.75))
    assert torch.allclose(ends[:1], alone, atol=1e-3), "each latent follows a picture of its own"


def test_both_layouts_of_files_are_the_same_network(sd1, tmp_path):
    loader, parts, net, state = sd1
    path = tiny.written(tmp_path / "ldm.safetensors", single_file(state, tiny.SD1_UNET))
    sides = texts(parts)
    ends = [
        latent_of(parts, *one.applied_to_all(sides, HINT, 0.75))
        for one in (net, loader.control_net(path))
    ]
    assert torch.equal(*ends)


def test_a_difference_is_made_whole_by_its_model(sd1, tmp_path):
    loader, parts, _, state = sd1
    base = dict(parts[0].network.get().named_parameters())
    rest = {name: tensor - base[name] if name in base else tensor for name, tensor in state.items()}
    rest = single_file(rest, tiny.SD1_UNET) | {"difference": torch.zeros(1)}
    path = tiny.written(tmp_path / "diff.safetensors", rest, torch.float32)
    with pytest.raises(Refused, match="DiffControlNetLoader"):
        loader.control_net(path)
    whole = loader.control_net(path, parts[0])
    for name, made in whole.network.get().named_parameters():
        assert torch.allclose(made, state[name], atol=1e-6), name


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory) -> Any:
    loader = tiny.loader()
    path = tiny.written(tmp_path_factory.mktemp("sdxl") / "tiny.safetensors", tiny.sdxl())
    return loader, loader.checkpoint(path)


def union_state(types) -> dict[str, Tensor]:
    """Return a union's tensors by the names of published files."""
    torch.manual_seed(8)
    made = loud(with_types(network(tiny.SDXL_UNET), types))
    made.controlnet_cond_embedding.task_embedding.data.normal_(std=3.0)
    renamed = {}
    for name, tensor in made.state_dict().items():
        new = name.replace("controlnet_cond_embedding.inner.", "controlnet_cond_embedding.")
        new = new.replace("controlnet_cond_embedding.task_embedding", "task_embedding")
        new = new.replace("controlnet_cond_embedding.layers.", "transformer_layes.")
        new = new.replace("controlnet_cond_embedding.projection.", "spatial_ch_projs.")
        new = new.replace("class_embedding.embedding.", "control_add_embedding.")
        renamed[new] = tensor
    return renamed


def test_a_union_is_told_the_type_of_its_hint(sdxl, tmp_path):
    loader, parts = sdxl
    state = union_state(6)
    net = loader.control_net(tiny.written(tmp_path / "union.safetensors", state))
    sides = texts(parts)
    ends = {
        name: latent_of(parts, *net.of_type(name).applied_to_all(sides, HINT, 0.75), steps=1)
        for name in ("auto", "openpose", "depth")
    }
    assert all(end.isfinite().all() for end in ends.values())
    assert not torch.allclose(ends["auto"], ends["depth"])
    assert not torch.allclose(ends["openpose"], ends["depth"])
    unknown = net.of_type(TYPES[6]).applied_to_all(sides, HINT, 0.75)
    with pytest.raises(Refused, match="ProMax"):
        latent_of(parts, *unknown, steps=1)
    promax = loader.control_net(tiny.written(tmp_path / "promax.safetensors", union_state(8)))
    led = promax.of_type(TYPES[6]).applied_to_all(sides, HINT, 0.75)
    assert not torch.allclose(latent_of(parts, *led, steps=1), ends["auto"])


def test_the_types_are_those_that_the_node_offers():
    offered = schemas()["SetUnionControlNetType"].input("type")
    assert offered is not None
    assert offered.options == ("auto", *TYPES)


def test_a_union_is_what_diffusers_computes_for_the_hint_alone():
    """Their network attends to the latent's summary too; with that left out both are the same."""
    from diffusers import ControlNetUnionModel

    config = {
        name: value
        for name, value in tiny.SDXL_UNET.items()
        if name not in {"out_channels", "up_block_types"}
    }
    theirs = ControlNetUnionModel(
        **config, conditioning_embedding_out_channels=(4, 4, 8, 8), num_control_type=6,
        num_trans_channel=32, num_trans_head=1, num_proj_channel=32,
    )  # fmt: skip
    state = {f"{name}": tensor for name, tensor in theirs.state_dict().items()}
    kind = detect({name: tuple(tensor.shape) for name, tensor in state.items()})
    ours: Any = kind.build(dict(state))
    assert kind.types == 6
    flags = torch.zeros(2, 6)
    flags[:, 3] = 1.0
    embedded = theirs.control_type_proj(flags.flatten()).reshape(2, -1)
    assert torch.allclose(ours.class_embedding(flags), theirs.control_add_embedding(embedded))
    assert torch.equal(
        ours.controlnet_cond_embedding.layers[0](torch.ones(1, 1, 32)),
        theirs.transformer_layes[0](torch.ones(1, 1, 32)),
    )


def test_a_control_net_of_another_kind_is_refused(sd1, sdxl, tmp_path):
    loader, parts, net, _ = sd1
    xl_loader, xl_parts = sdxl
    with pytest.raises(Refused, match="another text encoder"):
        latent_of(xl_parts, *net.applied_to_all(texts(xl_parts), HINT, 1.0))
    wide = network({**tiny.SDXL_UNET, "cross_attention_dim": 64}, seed=9).state_dict()
    xl_net = xl_loader.control_net(tiny.written(tmp_path / "xl.safetensors", wide))
    with pytest.raises(Refused, match="SDXL"):
        latent_of(parts, *xl_net.applied_to_all(texts(parts), HINT, 1.0))
    with pytest.raises(Refused, match="no ControlNet of a known kind"):
        loader.control_net(tiny.written(tmp_path / "none.safetensors", {"a": torch.zeros(1)}))
    with pytest.raises(Refused, match="Control-LoRA is not whole"):
        detect({"lora_controlnet": (1,)})
