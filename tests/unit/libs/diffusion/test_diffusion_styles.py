"""Style models: what is seen in a picture becomes words behind a text, as strongly as asked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.controlnets.controlnet_union import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.loader.vision import siglip_config
from libs.diffusion.style_bias import BIAS, attention_bias
from libs.diffusion.style_model import StyleModel, build_style
from libs.diffusion.values import Picture
from libs.diffusion.vision import VisionOutput, prepared
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.control import Call
from tests.unit.libs.diffusion import layouts, tiny
from tests.unit.libs.diffusion.test_diffusion_ip_adapter import vision
from tests.unit.libs.diffusion.tiny_adapters import redux, siglip, siglip_tensors

TEXT = 4096
PICTURE = Picture(torch.rand(1, 40, 60, 3, generator=torch.Generator().manual_seed(5)))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("styles")
    loader = tiny.loader()
    path = tiny.written(folder / "sigclip.safetensors", siglip_tensors(), torch.float32)
    sees = loader.clip_vision(path)
    style = loader.style_model(tiny.written(folder / "r.safetensors", redux(TEXT), torch.float32))
    flux = layouts.flux_tensors(layouts.flux())
    model = loader.diffusion_model(tiny.written(folder / "f.safetensors", flux, torch.float32))
    return sees, style, model, loader


def text() -> Conditioning:
    return Conditioning((Entry(numbers(1, 6, TEXT, seed=4), numbers(1, 64, seed=5)),))


def answer(model, conditioning) -> Tensor:
    """Return what Flux says to a text, of 3 by 2 patches."""
    (entry,) = conditioning.entries
    x = numbers(1, 16, 6, 4, seed=8)
    extras = model.architecture.extras(entry, True, x)
    with torch.inference_mode():
        said: Tensor = model.architecture.evaluate(
            model.network.get(), Call(x, torch.tensor([0.5]), entry.context, extras)
        )
    return said


def test_siglip_sees_what_its_own_network_sees(house):
    sees, *_ = house
    network = siglip()
    for crop, cut in (("center", True), ("none", False)):
        seen = sees.encode(PICTURE, crop)
        pixels = prepared(PICTURE.pixels, 42, cut=cut, even=True)
        assert -1 <= pixels.min() < pixels.max() <= 1
        with torch.inference_mode():
            wanted = network(pixels, output_hidden_states=True)
        assert torch.allclose(seen.last, wanted.last_hidden_state, atol=1e-5)
        assert torch.allclose(seen.penultimate, wanted.hidden_states[-2], atol=1e-5)
        assert torch.equal(seen.embeds, seen.last)
    assert not torch.allclose(sees.encode(PICTURE, "center").last, seen.last)


@pytest.mark.parametrize(
    ("width", "patch", "places", "side"),
    [(1152, 14, 729, 384), (1152, 16, 1024, 512), (1152, 14, 256, 224), (768, 16, 196, 224)],
)
def test_the_published_siglips_get_their_sides(width, patch, places, side):
    config = siglip_config(
        {
            "embeddings.patch_embedding.weight": (width, 3, patch, patch),
            "embeddings.position_embedding.weight": (places, width),
            "encoder.layers.0.mlp.fc1.weight": (4304, width),
        }
    )
    assert (config.image_size, config.hidden_act) == (side, "gelu_pytorch_tanh")
    assert config.hidden_size // config.num_attention_heads in (72, 64)


def test_redux_lays_a_word_for_each_patch_behind_the_text(house):
    sees, style, *_ = house
    seen = sees.encode(PICTURE)
    (entry,) = style.applied(text(), seen, 1.0, "multiply").entries
    weights = redux(TEXT)
    up = functional.linear(seen.last, weights["redux_up.weight"], weights["redux_up.bias"])
    wanted = functional.linear(
        functional.silu(up), weights["redux_down.weight"], weights["redux_down.bias"]
    )
    assert torch.equal(entry.context[:, :6], text().entries[0].context)
    assert torch.allclose(entry.context[:, 6:], wanted, atol=1e-5)
    (half,) = style.applied(text(), seen, 0.5, "multiply").entries
    assert torch.allclose(half.context[:, 6:], wanted * 0.5, atol=1e-5)
    two = Picture(torch.cat([PICTURE.pixels, 1 - PICTURE.pixels]))
    (both,) = style.applied(text(), sees.encode(two), 1.0, "multiply").entries
    assert both.context.shape == (1, 6 + 2 * 9, TEXT)


def test_a_strength_is_how_much_the_words_are_attended_to(house):
    sees, style, model, _ = house
    seen = sees.encode(PICTURE)
    plain = answer(model, text())
    said = {s: answer(model, style.applied(text(), seen, s, "attn_bias")) for s in (1e-7, 0.5, 1.0)}
    assert torch.allclose(said[1e-7], plain, atol=1e-3)
    assert not torch.allclose(said[1.0], plain, atol=1e-2)
    far = [(said[s] - plain).abs().mean() for s in said]
    assert far[0] < far[1] < far[2]
    whole = answer(model, style.applied(text(), seen, 1.0, "multiply"))
    assert torch.equal(said[1.0], whole)
    assert not torch.allclose(answer(model, style.applied(text(), seen, 0.5, "multiply")), whole)


def test_at_no_strength_nobody_attends_and_the_text_is_the_one_that_was_given(house):
    sees, style, *_ = house
    given = text()
    assert style.applied(given, sees.encode(PICTURE), 0.0, "attn_bias") is given


def test_two_pictures_are_attended_to_each_as_strongly_as_it_was_told(house):
    """As in ComfyUI, the later words attend to the earlier ones as they are."""
    sees, style, *_ = house
    seen = sees.encode(PICTURE)
    once = style.applied(text(), seen, 0.5, "attn_bias")
    (entry,) = style.applied(once, seen, 2.0, "attn_bias").entries
    whole = attention_bias(entry.extras[BIAS], 24 + 1, 2, torch.float32)[0, 0]
    wanted = torch.zeros(27, 27)
    wanted[:6, 6:15] = wanted[25:, 6:15] = torch.tensor(0.5).log()
    wanted[:15, 15:24] = wanted[25:, 15:24] = torch.tensor(2.0).log()
    assert torch.allclose(whole, wanted, atol=1e-3)
    (third,) = style.applied(once, seen, 1.0, "multiply").entries
    assert third.extras[BIAS].shape == (1, 25, 24)
    assert not third.extras[BIAS][..., 15:].any()


def style_adapter() -> dict[str, Tensor]:
    torch.manual_seed(3)
    blocks = nn.Sequential(*(ResidualAttentionBlock(256, 2) for _ in range(2)))
    state = {f"transformer_layes.{name}": tensor for name, tensor in blocks.state_dict().items()}
    state |= {f"ln_{end}.{leaf}": torch.rand(256) for end in ("pre", "post") for leaf in LEAVES}
    return state | {"style_embedding": torch.randn(1, 8, 256), "proj": torch.randn(256, 64)}


LEAVES = ("weight", "bias")


def test_the_style_adapter_of_stable_diffusion_answers_learned_questions():
    tensors = style_adapter()
    blocks = nn.Sequential(*(ResidualAttentionBlock(256, 2) for _ in range(2)))
    blocks.load_state_dict(
        {n.removeprefix("transformer_layes."): t for n, t in tensors.items() if "layes" in n}
    )
    seen = numbers(1, 5, 256)

    def normed(x, end) -> Tensor:
        weight, bias = (tensors[f"ln_{end}.{leaf}"] for leaf in LEAVES)
        return functional.layer_norm(x, (256,), weight, bias)

    with torch.inference_mode():
        x = normed(torch.cat([seen, tensors["style_embedding"]], 1), "pre")
        wanted = normed(blocks(x.transpose(0, 1)).transpose(0, 1)[:, -8:], "post")
        ours = build_style(tensors)(seen)
    assert torch.allclose(ours, wanted @ tensors["proj"], atol=1e-4)


def test_what_does_not_fit_is_refused(house, tmp_path):
    sees, style, _, loader = house
    path = tiny.written(tmp_path / "none.safetensors", {"a": torch.zeros(1)})
    with pytest.raises(Refused, match="no style model"):
        loader.style_model(path)
    path = tiny.written(tmp_path / "clip.safetensors", vision().state_dict(), torch.float32)
    wide: StyleModel = style
    seen = VisionOutput(*(numbers(1, 5, 64),) * 3)
    with pytest.raises(Refused, match="another vision network"):
        wide.applied(text(), seen, 1.0, "multiply")
    narrow = Conditioning((Entry(numbers(1, 6, 64)),))
    with pytest.raises(Refused, match="another text encoder"):
        style.applied(narrow, sees.encode(PICTURE), 1.0, "multiply")
    vae: Any = None
    with pytest.raises(Refused, match="SigLIP sums up no picture"):
        sees.animating(
            PICTURE, vae, width=64, height=64, motion_bucket_id=1, fps=6, augmentation_level=0.0
        )
    broken = redux(TEXT)
    del broken["redux_down.bias"]
    with pytest.raises(Refused, match="do not fit"):
        build_style(broken)
