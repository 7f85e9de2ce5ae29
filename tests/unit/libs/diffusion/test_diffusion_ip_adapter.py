"""IP-Adapters: each variant against diffusers' own, and what weight, noise and range do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from libs.core.errors import Refused
from libs.diffusion.ip_adapter.network import text_layers
from libs.diffusion.ip_adapter.projection import Resampler
from libs.diffusion.values import Latents, Picture
from libs.sampling.control import Call
from tests.unit.libs.diffusion import tiny

TEXT_WIDTH = 64
SEEN, HIDDEN = 24, 48
PICTURE = Picture(torch.rand(1, 40, 48, 3, generator=torch.Generator().manual_seed(2)))
# The widths of the four layers of the tiny network that attend to the text.
WIDTHS = (16, 16, 16, 32)


def vision() -> CLIPVisionModelWithProjection:
    """Return a network that sees states of another width than its summary."""
    torch.manual_seed(4)
    config = CLIPVisionConfig(
        hidden_size=HIDDEN, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        image_size=32, patch_size=16, projection_dim=SEEN, hidden_act="gelu",
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config).eval()


def layers(width=TEXT_WIDTH) -> dict[str, Tensor]:
    return {
        f"ip_adapter.{2 * at + 1}.to_{part}_ip.weight": torch.randn(size, width) / 4
        for at, size in enumerate(WIDTHS)
        for part in "kv"
    }


def base() -> dict[str, Tensor]:
    torch.manual_seed(6)
    return layers() | {
        "image_proj.proj.weight": torch.randn(4 * TEXT_WIDTH, SEEN) / 3,
        "image_proj.proj.bias": torch.randn(4 * TEXT_WIDTH) / 3,
        "image_proj.norm.weight": torch.rand(TEXT_WIDTH) + 0.5,
        "image_proj.norm.bias": torch.randn(TEXT_WIDTH) / 3,
    }


def plus() -> dict[str, Tensor]:
    torch.manual_seed(7)
    inner = 128
    made = Resampler(HIDDEN, 8, inner, 4, TEXT_WIDTH)
    state = made.state_dict() | {"latents": torch.randn(1, 8, inner)}
    return layers() | {f"image_proj.{name}": tensor for name, tensor in state.items()}


def full() -> dict[str, Tensor]:
    torch.manual_seed(8)
    return layers() | {
        "image_proj.proj.0.weight": torch.randn(HIDDEN, HIDDEN) / 4,
        "image_proj.proj.0.bias": torch.randn(HIDDEN),
        "image_proj.proj.2.weight": torch.randn(TEXT_WIDTH, HIDDEN) / 4,
        "image_proj.proj.2.bias": torch.randn(TEXT_WIDTH),
        "image_proj.proj.3.weight": torch.rand(TEXT_WIDTH),
        "image_proj.proj.3.bias": torch.randn(TEXT_WIDTH),
    }


VARIANTS = {"ip-adapter": base, "ip-adapter-plus": plus, "ip-adapter-face": full}


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("ip")
    loader = tiny.loader()
    parts = loader.checkpoint(tiny.written(folder / "tiny.safetensors", tiny.sd1()))
    sees = loader.clip_vision(
        tiny.written(folder / "vision.safetensors", vision().state_dict(), torch.float32)
    )
    adapters = {
        name: loader.ip_adapter(tiny.written(folder / f"{name}.safetensors", make(), torch.float32))
        for name, make in VARIANTS.items()
    }
    return parts, sees, adapters


def latent_of(model, clip, cfg=5.0) -> Tensor:
    end: Tensor = model.sample(
        Latents(torch.zeros(2, 4, 8, 8)), positive=clip.encode("a fox"), negative=clip.encode(""),
        seed=1, steps=3, cfg=cfg, sampler="euler", scheduler="normal", on_step=tiny.no_step,
    ).samples  # fmt: skip
    return end


@pytest.mark.covers("R175", "R176", "R181")
@pytest.mark.covers("R177", "R178", "R179")
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_example_counts_by_its_weight_and_the_model_stays(house, variant):
    (model, clip, _), sees, adapters = house
    plain = latent_of(model, clip)
    adapter = adapters[variant]
    ends = [
        latent_of(adapter.applied(model, sees, image, weight, noise), clip)
        for image, weight, noise in (
            (PICTURE, 0.7, 0.3),
            (PICTURE, 0.7, 0.0),
            (PICTURE, 0.3, 0.0),
            (Picture(1.0 - PICTURE.pixels), 0.7, 0.0),
        )
    ]
    assert all(end.isfinite().all() for end in ends)
    for at, end in enumerate(ends):
        for other in (plain, *ends[:at]):
            assert not torch.allclose(end, other)
    assert adapter.applied(model, sees, PICTURE, 0.0, 0.3) is model
    assert torch.equal(latent_of(model, clip), plain), "the network is as it was"


def test_the_negative_side_is_not_drawn_by_the_example(house):
    """Without a negative side noise is of no matter; with one it is."""
    (model, clip, _), sees, adapters = house
    adapter = adapters["ip-adapter"]
    alone = [
        latent_of(adapter.applied(model, sees, PICTURE, 0.7, noise), clip, cfg=1.0)
        for noise in (0.0, 0.5)
    ]
    assert torch.equal(*alone)


def test_an_example_counts_in_its_part_of_the_course_alone(house):
    (model, clip, _), sees, adapters = house
    adapter = adapters["ip-adapter-plus"]
    never, early, whole = (
        latent_of(adapter.applied(model, sees, PICTURE, 0.7, 0.0, start, end), clip)
        for start, end in ((0.999, 0.9995), (0.0, 0.3), (0.0, 1.0))
    )
    assert torch.equal(never, latent_of(model, clip))
    assert not torch.allclose(early, never)
    assert not torch.allclose(early, whole)


def test_two_examples_count_together(house):
    (model, clip, _), sees, adapters = house
    first = adapters["ip-adapter"].applied(model, sees, PICTURE, 0.4, 0.0)
    both = adapters["ip-adapter-plus"].applied(first, sees, PICTURE, 0.4, 0.0)
    assert not torch.allclose(latent_of(first, clip), latent_of(both, clip))
    two = Picture(torch.cat([PICTURE.pixels, 1.0 - PICTURE.pixels]))
    joined = adapters["ip-adapter"].applied(model, sees, two, 0.4, 0.0)
    assert not torch.allclose(latent_of(first, clip), latent_of(joined, clip))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_what_diffusers_computes(house, variant):
    (model, *_), sees, adapters = house
    theirs = model.architecture.build(
        {name.removeprefix("model.diffusion_model."): tensor for name, tensor in half(tiny.sd1())}
    )
    shown(theirs, VARIANTS[variant]())
    x, time, text = torch.randn(1, 4, 8, 8), torch.tensor([500.0]), torch.randn(1, 77, TEXT_WIDTH)
    seen = sees.encode(PICTURE)
    states = seen.embeds if variant == "ip-adapter" else seen.penultimate
    kwargs = {"image_embeds": [states[:, None]]}
    with torch.inference_mode():
        wanted = theirs(x, time, text, added_cond_kwargs=kwargs, return_dict=False)[0]
        applied = adapters[variant].applied(model, sees, PICTURE, 0.7, 0.0)
        with applied.evaluated() as evaluate:
            ours = evaluate(Call(x, time, text, {}, sigma=1.0, positive=(True,)))
    assert torch.allclose(ours, wanted, atol=1e-5)


def half(tensors) -> Any:
    return (
        (name, tensor.half().float())
        for name, tensor in tensors.items()
        if name.startswith("model.diffusion_model.")
    )


def test_an_adapter_for_another_network_is_refused(house, tmp_path):
    (model, *_), sees, _ = house
    loader = tiny.loader()
    few = {name: tensor for name, tensor in base().items() if ".7." not in name}
    adapter = loader.ip_adapter(tiny.written(tmp_path / "few.safetensors", few))
    with pytest.raises(Refused, match="another kind of model"):
        adapter.applied(model, sees, PICTURE, 1.0, 0.0)
    blind = base() | {"image_proj.proj.weight": torch.zeros(4 * TEXT_WIDTH, 5)}
    adapter = loader.ip_adapter(tiny.written(tmp_path / "blind.safetensors", blind))
    with pytest.raises(Refused, match="another vision network"):
        adapter.applied(model, sees, PICTURE, 1.0, 0.0)
    with pytest.raises(Refused, match="holds no IP-Adapter"):
        loader.ip_adapter(tiny.written(tmp_path / "none.safetensors", {"a": torch.zeros(1)}))


FACES = {
    "faceid": {f"image_proj.{name}.weight": torch.zeros(4, 4) for name in ("proj.2", "norm")},
    "faceid-plusv2": {"image_proj.perceiver_resampler.proj_in.weight": torch.zeros(4, 4)},
    "faceid-unnorm": {"ip_adapter.0.to_q_lora.down.weight": torch.zeros(4, 4)},
}


@pytest.mark.parametrize("variant", FACES)
def test_one_that_wants_a_face_network_says_so(tmp_path, variant):
    path = tiny.written(tmp_path / f"{variant}.safetensors", layers() | FACES[variant])
    with pytest.raises(Refused, match="InsightFace"):
        tiny.loader().ip_adapter(path)


def test_one_of_flux_says_what_flux_takes(tmp_path):
    name = "double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight"
    path = tiny.written(tmp_path / "flux.safetensors", {name: torch.zeros(4, 4)})
    with pytest.raises(Refused, match="Redux"):
        tiny.loader().ip_adapter(path)


def of_width(tensors, widths, text) -> dict[str, Tensor]:
    """Return an adapter for another UNet, of which each layer has that width."""
    torch.manual_seed(10)
    rest = {name: tensor for name, tensor in tensors.items() if name.startswith("image_proj.")}
    return rest | {
        f"ip_adapter.{2 * at + 1}.to_{part}_ip.weight": torch.randn(size, text) / 8
        for at, size in enumerate(widths)
        for part in "kv"
    }


@pytest.mark.covers("R177", "R178")
@pytest.mark.parametrize("variant", ["ip-adapter", "ip-adapter-plus"])
def test_sdxl_is_shown_examples_as_diffusers_shows_them(tmp_path, variant):
    loader, text = tiny.loader(), int(tiny.SDXL_UNET["cross_attention_dim"])
    torch.manual_seed(11)
    tensors = tiny.unet_tensors(tiny.SDXL_UNET)
    model = loader.diffusion_model(tiny.written(tmp_path / "xl.safetensors", tensors))
    theirs = model.architecture.build(
        {name.removeprefix("model.diffusion_model."): tensor for name, tensor in half(tensors)}
    )
    widths = [layer.get_parameter("to_k.weight").shape[0] for layer in text_layers(theirs)]
    projections = {
        "ip-adapter": {
            "image_proj.proj.weight": torch.randn(4 * text, SEEN) / 3,
            "image_proj.proj.bias": torch.randn(4 * text) / 3,
            "image_proj.norm.weight": torch.rand(text) + 0.5,
            "image_proj.norm.bias": torch.randn(text) / 3,
        },
        "ip-adapter-plus": {
            f"image_proj.{name}": tensor
            for name, tensor in (
                Resampler(HIDDEN, 16, 128, 4, text).state_dict()
                | {"latents": torch.randn(1, 16, 128)}
            ).items()
        },
    }
    state = of_width(projections[variant], widths, text)
    adapter = loader.ip_adapter(tiny.written(tmp_path / "ip.safetensors", state, torch.float32))
    path = tmp_path / "vision.safetensors"
    sees = loader.clip_vision(tiny.written(path, vision().state_dict(), torch.float32))
    assert adapter.sees_by == "vit-h"
    shown(theirs, state)
    seen = sees.encode(PICTURE)
    states = seen.embeds if variant == "ip-adapter" else seen.penultimate
    x, time, words = torch.randn(1, 4, 8, 8), torch.tensor([500.0]), torch.randn(1, 77, text)
    extras = {"text_embeds": torch.randn(1, 128), "time_ids": torch.full((1, 6), 64.0)}
    given = extras | {"image_embeds": [states[:, None]]}
    with torch.inference_mode():
        wanted = theirs(x, time, words, added_cond_kwargs=given, return_dict=False)[0]
        with adapter.applied(model, sees, PICTURE, 0.7, 0.0).evaluated() as evaluate:
            ours = evaluate(Call(x, time, words, extras, sigma=1.0, positive=(True,)))
    assert torch.allclose(ours, wanted, atol=1e-5)
    assert adapter.applied(model, sees, PICTURE, 0.0, 0.0) is model


def shown(network, state) -> None:
    """Let diffusers read an adapter into a network, at a weight of 0.7."""
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    network._load_ip_adapter_weights([parts])
    for processor in network.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.7]
    network.eval()
