"""Depth maps by the real networks, with few random weights in the layout of published files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import (
    BeitConfig,
    BitConfig,
    DPTConfig,
    DPTForDepthEstimation,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
)
from transformers.utils import logging

from libs.core.errors import Refused
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.preprocess import depth
from libs.diffusion.preprocess.depth_layouts import depth_layout
from libs.diffusion.values import Picture
from tests.unit.libs.diffusion import tiny

BINS = [
    {"name": "nyu", "n_bins": 16, "min_depth": 1e-3, "max_depth": 10.0},
    {"name": "kitti", "n_bins": 16, "min_depth": 1e-3, "max_depth": 80.0},
]
DPT: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 1, "intermediate_size": 64,
    "image_size": 64, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 12, 16, 16],
    "fusion_hidden_size": 16,
}  # fmt: skip


def large() -> Any:
    return DPTForDepthEstimation(DPTConfig(**DPT))


def hybrid() -> Any:
    backbone = BitConfig(
        embedding_size=32, hidden_sizes=[128, 256, 512, 1024], depths=[1, 1, 2],
        global_padding="same", layer_type="bottleneck", embedding_dynamic_padding=True,
        out_features=["stage1", "stage2", "stage3"],
    )  # fmt: skip
    sizes = {"neck_hidden_sizes": [128, 256, 64, 64], "backbone_featmap_shape": [1, 512, 4, 4]}
    return DPTForDepthEstimation(
        DPTConfig(**(DPT | sizes), is_hybrid=True, backbone_config=backbone)
    )


def zoe() -> Any:
    backbone = BeitConfig(
        image_size=64, num_hidden_layers=4, hidden_size=32, intermediate_size=48,
        num_attention_heads=2, use_relative_position_bias=True, reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    return ZoeDepthForDepthEstimation(
        ZoeDepthConfig(
            backbone_config=backbone, neck_hidden_sizes=[8, 12, 16, 16], fusion_hidden_size=16,
            bottleneck_features=16, num_relative_features=8, bin_embedding_dim=8,
            bin_configurations=BINS, num_patch_transformer_layers=4,
            patch_transformer_hidden_size=128, patch_transformer_intermediate_size=32,
            patch_transformer_num_attention_heads=4,
        )
    )  # fmt: skip


def published(folder: Path, network: Any) -> Path:
    """Write a network as published files are: with the names that transformers keeps for them."""
    logging.disable_progress_bar()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            # The usual first weights are so small that every picture looks the same.
            parameter.data.mul_(6)
    network.eval().save_pretrained(folder)
    return folder / "model.safetensors"


@pytest.mark.covers("R165", "R166")
@pytest.mark.parametrize("kind", [large, hybrid, zoe])
def test_a_depth_network_is_read_off_its_file_and_answers_as_it_was_saved(tmp_path, kind):
    torch.manual_seed(4)
    network = kind()
    path = published(tmp_path, network)
    read = depth.read_depth_network(WeightsFile.open(path))
    seen = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        ours, theirs = (one(pixel_values=seen) for one in (read.network, network))
    assert torch.equal(ours.predicted_depth, theirs.predicted_depth)

    make = tiny.loader().preprocessors
    image = Picture(torch.rand(2, 70, 100, 3))
    made = make.depth(image, path, resolution=64, on_step=tiny.no_step)
    assert (made.count, made.height, made.width) == (2, 64, 91)
    assert made.pixels.min() == 0.0
    assert made.pixels.max() == 1.0
    assert not torch.equal(made.pixels[0], made.pixels[1]), "each picture has its own depth"
    again = make.depth(Picture(image.pixels[1:]), path, resolution=64, on_step=tiny.no_step)
    assert torch.equal(made.pixels[1:], again.pixels), "and none depends on its neighbours"


def test_the_sizes_of_the_published_networks_are_read_off_their_shapes():
    nk = [{**one, "n_bins": 64} for one in BINS]
    wanted: list[Any] = [
        (DPTForDepthEstimation, DPTConfig(
            hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
            backbone_out_indices=[5, 11, 17, 23], neck_hidden_sizes=[256, 512, 1024, 1024])),
        (DPTForDepthEstimation, DPTConfig(
            is_hybrid=True, neck_hidden_sizes=[256, 512, 768, 768])),
        (ZoeDepthForDepthEstimation, ZoeDepthConfig(
            neck_hidden_sizes=[256, 512, 1024, 1024], bin_configurations=nk,
            num_patch_transformer_layers=4, patch_transformer_hidden_size=128,
            patch_transformer_intermediate_size=1024, patch_transformer_num_attention_heads=4)),
    ]  # fmt: skip
    for network, config in wanted:
        with torch.device("meta"):
            shapes = {n: tuple(t.shape) for n, t in network(config).state_dict().items()}
        layout = depth_layout(cast("WeightsFile", Described(shapes)))
        assert layout.network is network
        assert layout.side_pixels == 384
        with torch.device("meta"):
            again = network(layout.config)
        assert {n: tuple(t.shape) for n, t in again.state_dict().items()} == shapes
        told, found = config.to_dict(), layout.config.to_dict()
        for name in ("backbone_out_indices", "num_attention_heads", "num_attractors"):
            assert list_of(told.get(name)) == list_of(found.get(name)), name


def list_of(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


class Described:
    """Stands for a file of which only names and shapes are known."""

    path = Path("described.safetensors")

    def __init__(self, shapes: Any) -> None:
        self.shapes = shapes


def test_a_file_that_is_no_depth_network_is_refused_by_name(tmp_path):
    path = tiny.written(tmp_path / "a.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(Refused, match="holds no depth network"):
        depth.read_depth_network(WeightsFile.open(path))


def test_a_part_that_is_missing_is_named_and_one_that_is_unused_is_not(tmp_path):
    from safetensors.torch import load_file, save_file

    path = published(tmp_path, large())
    tensors = load_file(path)
    unused = "neck.fusion_stage.layers.0.residual_layer1.convolution1.weight"
    save_file({n: t for n, t in tensors.items() if n != unused}, path)
    depth.read_depth_network(WeightsFile.open(path))
    save_file({n: t for n, t in tensors.items() if n != "head.head.2.weight"}, path)
    with pytest.raises(Refused, match="do not fit"):
        depth.read_depth_network(WeightsFile.open(path))


def test_zoe_sees_whole_steps_close_to_the_size_it_knows():
    assert depth.zoe_size(480, 640, 384) == (384, 512)
    assert depth.zoe_size(512, 512, 384) == (512, 512)
    assert depth.zoe_size(10, 2000, 384) == (32, 512)
