"""SPAN and SwinIR are read off their tensors, and compute what their papers say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.picture import Picture
from libs.diffusion.span import REACH
from libs.diffusion.swin_ir import SwinNetwork, relative_places
from libs.diffusion.upscale import build_upscaler
from tests.unit.libs.diffusion import tiny

MEAN = torch.tensor([0.4488, 0.4371, 0.4040], dtype=torch.float64)[:, None, None]


def random(shapes) -> dict[str, Tensor]:
    torch.manual_seed(4)
    return {
        name: torch.randn(shape) / max(1, torch.Size(shape[1:]).numel()) ** 0.5
        for name, shape in shapes.items()
    }


def span(width=6, factor=2) -> dict[str, Tensor]:
    """Return a small SPAN's tensors, in three convolutions and a shortcut for each."""
    places = {"conv_1": 3, "conv_2": width}
    for number in range(1, 7):
        places |= dict.fromkeys((f"block_{number}.c{at}_r" for at in (1, 2, 3)), width)
    shapes: dict[str, tuple[int, ...]] = {}
    for place, inputs in places.items():
        layers = {"sk": (width, inputs, 1, 1), "conv.0": (2 * inputs, inputs, 1, 1)}
        layers |= {"conv.1": (2 * width, 2 * inputs, 3, 3), "conv.2": (width, 2 * width, 1, 1)}
        layers |= {"eval_conv": (width, inputs, 3, 3)}
        for layer, shape in layers.items():
            shapes |= {f"{place}.{layer}.weight": shape, f"{place}.{layer}.bias": shape[:1]}
    for place, shape in (
        ("conv_cat", (width, 4 * width, 1, 1)),
        ("upsampler.0", (3 * factor**2, width, 3, 3)),
    ):
        shapes |= {f"{place}.weight": shape, f"{place}.bias": shape[:1]}
    return random(shapes)


def span_drawn(named, pixels) -> Tensor:
    """Return what the paper's network does in training, at places that no border reaches."""

    def conv(place, x, padding=0) -> Tensor:
        return functional.conv2d(
            x, named[f"{place}.weight"], named[f"{place}.bias"], padding=padding
        )

    def three(place, x) -> Tensor:
        inner = conv(f"{place}.conv.0", functional.pad(x, (1, 1, 1, 1)))
        return conv(f"{place}.conv.2", conv(f"{place}.conv.1", inner)) + conv(f"{place}.sk", x)

    first = x = three("conv_1", (pixels - MEAN) * 255)
    ends, seen = [], x
    for number in range(1, 7):
        seen = three(f"block_{number}.c1_r", x)
        end = three(f"block_{number}.c2_r", functional.silu(seen))
        end = three(f"block_{number}.c3_r", functional.silu(end))
        x = (end + x) * (torch.sigmoid(end) - 0.5)
        ends.append(x)
    joined = torch.cat([first, three("conv_2", x), ends[0], seen], 1)
    return functional.pixel_shuffle(conv("upsampler.0", conv("conv_cat", joined), 1), 2)


def test_a_span_draws_what_its_three_convolutions_draw():
    named = {name: tensor.double() for name, tensor in span().items()}
    network = build_upscaler(named)
    assert (network.factor, network.reach) == (2, REACH)
    pixels = torch.rand(1, 3, 60, 60, dtype=torch.float64)
    with torch.inference_mode():
        ours, wanted = network(pixels), span_drawn(named, pixels)
    inside = (..., slice(2 * REACH, -2 * REACH), slice(2 * REACH, -2 * REACH))
    assert ours.shape == (1, 3, 120, 120)
    assert torch.allclose(ours[inside], wanted[inside], rtol=1e-6)


def test_a_span_for_use_alone_and_one_without_levels_are_read():
    named = span()
    kept = ("eval_conv", "conv_cat", "upsampler")
    bare = {name: tensor for name, tensor in named.items() if any(word in name for word in kept)}
    bare = {f"params.{name}": tensor for name, tensor in bare.items()}
    pixels = torch.rand(1, 3, 24, 24)
    levelled = (pixels - MEAN.float()) * 255
    with torch.inference_mode():
        first = build_upscaler(bare)(pixels)
        second = build_upscaler(bare | {"params.no_norm": torch.zeros(1)})(levelled)
    assert torch.allclose(first, second, atol=1e-4)


def last_part(layer, tail, factor, width) -> None:
    """Lay out the layers that make pictures larger."""
    if tail in ("nearest", "shuffled"):
        layer("conv_before_upsample.0", 8, width, 3, 3)
        layer("conv_last", 3, 8, 3, 3)
    if tail == "nearest":
        for name in ("conv_up1", "conv_up2", "conv_hr")[: 3 if factor == 4 else 1]:
            layer(name, 8, 8, 3, 3)
        layer("conv_hr", 8, 8, 3, 3)
    if tail == "shuffled":
        steps = {2: [2], 3: [3], 4: [2, 2]}[factor]
        for at, step in enumerate(steps):
            layer(f"upsample.{2 * at}", 8 * step**2, 8, 3, 3)
    if tail == "direct":
        layer("upsample.0", 3 * factor**2, width, 3, 3)
    if tail == "same":
        layer("conv_last", 3, width, 3, 3)


def swin(tail="nearest", factor=4, width=12, conv="1conv") -> dict[str, Tensor]:
    """Return a small SwinIR's tensors: two groups of two blocks, with windows of four."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name, *shape) -> None:
        shapes.update({f"{name}.weight": shape, f"{name}.bias": shape[:1]})

    def end(name) -> None:
        if conv == "1conv":
            layer(name, width, width, 3, 3)
            return
        narrow = width // 4
        layer(f"{name}.0", narrow, width, 3, 3)
        layer(f"{name}.2", narrow, narrow, 1, 1)
        layer(f"{name}.4", width, narrow, 3, 3)

    layer("conv_first", width, 3, 3, 3)
    layer("patch_embed.norm", width)
    layer("norm", width)
    end("conv_after_body")
    for group in range(2):
        end(f"layers.{group}.conv")
        for block in range(2):
            name = f"layers.{group}.residual_group.blocks.{block}"
            layer(f"{name}.norm1", width)
            layer(f"{name}.norm2", width)
            layer(f"{name}.attn.qkv", 3 * width, width)
            layer(f"{name}.attn.proj", width, width)
            shapes[f"{name}.attn.relative_position_bias_table"] = (49, 3)
            layer(f"{name}.mlp.fc1", 2 * width, width)
            layer(f"{name}.mlp.fc2", width, 2 * width)
    last_part(layer, tail, factor, width)
    counted = {
        "layers.0.residual_group.blocks.0.attn.relative_position_index": torch.zeros(16, 16),
        "layers.0.residual_group.blocks.1.attn_mask": torch.zeros(4, 16, 16),
    }
    return random(shapes) | counted


def attended(named, name, x, shift) -> Tensor:
    """Return what one block adds of attention, place by place, without any window cut out."""
    rows, columns = x.shape[1:3]
    normed = functional.layer_norm(
        x, x.shape[-1:], named[f"{name}.norm1.weight"], named[f"{name}.norm1.bias"]
    )
    qkv = functional.linear(
        normed, named[f"{name}.attn.qkv.weight"], named[f"{name}.attn.qkv.bias"]
    )
    q, k, v = qkv.reshape(rows * columns, 3, 3, -1).unbind(1)
    table = named[f"{name}.attn.relative_position_bias_table"].reshape(7, 7, 3)
    out = torch.zeros(rows * columns, x.shape[-1])
    places = [(r, c) for r in range(rows) for c in range(columns)]

    def home(r, c) -> tuple[int, int]:
        return (r + 4 - shift) // 4 if shift else r // 4, (c + 4 - shift) // 4 if shift else c // 4

    for at, (r, c) in enumerate(places):
        near = [i for i, place in enumerate(places) if home(*place) == home(r, c)]
        bias = torch.stack([table[r - places[i][0] + 3, c - places[i][1] + 3] for i in near])
        logits = (q[at][None] * k[near]).sum(-1) / q.shape[-1] ** 0.5 + bias
        out[at] = (torch.softmax(logits, 0)[..., None] * v[near]).sum(0).flatten()
    return functional.linear(
        out.reshape(1, rows, columns, -1),
        named[f"{name}.attn.proj.weight"],
        named[f"{name}.attn.proj.bias"],
    )


@pytest.mark.parametrize("block", [0, 1])
def test_a_block_attends_in_windows_and_every_other_one_in_shifted_ones(block):
    named = swin()
    network: Any = build_upscaler(named)
    inner = network.layers[0].residual_group["blocks"][block]
    x = torch.randn(1, 8, 12, 12)
    name = f"layers.0.residual_group.blocks.{block}"
    with torch.inference_mode():
        seen = x + attended(named, name, x, shift=2 if block else 0)
        mixed = inner.mlp["fc2"](functional.gelu(inner.mlp["fc1"](inner.norm2(seen))))
        assert torch.allclose(inner(x), seen + mixed, atol=1e-4)


def test_places_in_a_window_are_told_apart_by_how_they_lie_to_each_other():
    places = relative_places(2, torch.device("cpu"))
    assert places.tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


@pytest.mark.parametrize("conv", ["1conv", "3conv"])
@pytest.mark.parametrize(
    ("tail", "factor"),
    [("nearest", 4), ("nearest", 2), ("shuffled", 4), ("shuffled", 3), ("direct", 2), ("same", 1)],
)
def test_every_last_part_makes_pictures_of_its_factor(tail, factor, conv):
    network = build_upscaler(swin(tail, factor, conv=conv))
    assert isinstance(network, SwinNetwork)
    assert (network.tail, network.factor, network.window) == (tail, factor, 4)
    pixels = torch.rand(1, 3, 10, 7)
    with torch.inference_mode():
        larger = network(pixels)
        assert larger.shape == (1, 3, 10 * factor, 7 * factor)
        assert larger.isfinite().all()
        assert not torch.allclose(larger, network(1 - pixels))
        assert network(torch.rand(1, 3, 1, 2)).shape == (1, 3, factor, 2 * factor)


@pytest.mark.parametrize("make", [span, swin])
def test_a_file_makes_a_picture_larger(tmp_path, make):
    path = tiny.written(tmp_path / "up.safetensors", make(), torch.float32)
    model = tiny.loader().upscale_model(path)
    told: list[int] = []
    image = Picture(torch.rand(1, 16, 20, 3))
    larger = model.upscale(image, lambda value, total, preview=None: told.append(value))
    factor = model.network.get().factor
    assert larger.pixels.shape == (1, 16 * factor, 20 * factor, 3)
    assert told == [1]


def test_what_is_not_whole_or_grey_is_refused():
    named = swin()
    del named["conv_hr.weight"]
    with pytest.raises(Refused, match="do not fit"):
        build_upscaler(named)
    with pytest.raises(Refused, match="coloured"):
        build_upscaler(swin() | {"conv_first.weight": torch.zeros(12, 1, 3, 3)})
    less = {name: tensor for name, tensor in span().items() if "block_3.c2_r" not in name}
    with pytest.raises(Refused, match="do not fit"):
        build_upscaler(less)
    with pytest.raises(Refused, match="SPAN and SwinIR can be read"):
        build_upscaler({"a": torch.zeros(1)})
