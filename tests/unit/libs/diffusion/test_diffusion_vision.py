"""A vision network is read out of every layout that people have, and sees what others see."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

from libs.core.errors import Refused
from libs.diffusion.loader.vision import vision_config
from libs.diffusion.values import Picture
from libs.diffusion.vision import prepared
from tests.unit.libs.diffusion import tiny
from tests.unit.libs.diffusion.tiny_video import open_clip_vision, vision_network

SVD_PREFIX = "conditioner.embedders.0.open_clip.model.visual."


@pytest.fixture(scope="module")
def network() -> CLIPVisionModelWithProjection:
    torch.manual_seed(4)
    return vision_network()


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture(torch.rand(2, 40, 60, 3, generator=torch.Generator().manual_seed(5)))


def layouts(network: CLIPVisionModelWithProjection) -> dict[str, dict[str, Tensor]]:
    text = {"text_model.embeddings.token_embedding.weight": torch.zeros(2, 2)}
    return {
        "transformers": network.state_dict() | text,
        "open_clip": open_clip_vision(network, "visual.") | {"ln_final.weight": torch.zeros(2)},
        "svd": open_clip_vision(network, SVD_PREFIX),
        "open_clip alone": open_clip_vision(network, ""),
    }


@pytest.mark.parametrize("layout", ["transformers", "open_clip", "svd", "open_clip alone"])
def test_every_layout_gives_the_same_network(tmp_path, network, picture, layout):
    path = tiny.written(tmp_path / "v.safetensors", layouts(network)[layout], torch.float32)
    seen = tiny.loader().clip_vision(path).encode(picture)
    pixels = prepared(picture.pixels, network.config.image_size, cut=True)
    with torch.inference_mode():
        wanted = network(pixels, output_hidden_states=True)
    assert torch.allclose(seen.embeds, wanted.image_embeds, atol=1e-5)
    assert torch.allclose(seen.penultimate, wanted.hidden_states[-2], atol=1e-5)
    assert torch.allclose(seen.last, wanted.last_hidden_state, atol=1e-5)


def test_a_picture_is_cut_and_levelled_as_the_networks_own_processor_does_it(picture):
    wanted = CLIPImageProcessorPil(do_resize=False, crop_size={"height": 40, "width": 40})(
        [frame.numpy() for frame in picture.pixels], do_rescale=False, return_tensors="pt"
    )["pixel_values"]
    square = prepared(picture.pixels, 40, cut=True)
    # Only the rounding to bytes is between them.
    assert (square - wanted).abs().max() <= 0.5 / 255 / 0.26 + 1e-6


def test_a_squeezed_picture_keeps_its_edges(picture):
    marked = picture.pixels.clone() * 0
    marked[:, :, :6] = 1.0
    assert (
        prepared(marked, 28, cut=False)[0, 0, 14, 0] > prepared(marked, 28, cut=True)[0, 0, 14, 0]
    )


@pytest.mark.parametrize(
    ("width", "heads", "act"),
    [(768, 12, "quick_gelu"), (1024, 16, "quick_gelu"), (1280, 16, "gelu"), (1664, 16, "gelu")],
)
def test_the_sizes_in_use_get_their_heads_and_activation(width, heads, act):
    network = CLIPVisionConfig(
        hidden_size=width, num_attention_heads=heads, num_hidden_layers=1, patch_size=14
    )
    with torch.device("meta"):
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in CLIPVisionModelWithProjection(network).state_dict().items()
        }
    config = vision_config(shapes)
    assert (config.num_attention_heads, config.hidden_act) == (heads, act)
    assert config.image_size == 224
    assert math.isclose(config.num_hidden_layers, 1)


def test_a_file_without_one_is_refused(tmp_path):
    path = tiny.written(tmp_path / "none.safetensors", {"a": torch.zeros(1)})
    with pytest.raises(Refused, match="no CLIP vision"):
        tiny.loader().clip_vision(path)
