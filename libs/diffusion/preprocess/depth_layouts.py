"""Which depth network a file holds, read off its tensors' names and shapes.

The layouts are those of the files that people download: Intel's DPT (MiDaS 3.0, hybrid and
large) and ZoeDepth NK, as transformers writes them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import (
    BeitConfig,
    BitConfig,
    DPTConfig,
    DPTForDepthEstimation,
    PreTrainedModel,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
)

from libs.core.errors import Refused
from libs.diffusion.loader.file import WeightsFile

Shapes = Mapping[str, tuple[int, ...]]
HEAD_CHANNELS = 64
PATCH_PIXELS = 16
STAGES = 4
# The networks have these bins by the names of what they were trained on, in metres.
RANGES: Mapping[str, tuple[float, float]] = {"nyu": (1e-3, 10.0), "kitti": (1e-3, 80.0)}
# A part that does not take part in computing, which published files leave out.
UNUSED = "neck.fusion_stage.layers.0.residual_layer1."
NAMES_SHOWN = 4
MIDAS, ZOE = "MiDaS", "ZoeDepth"


@dataclass(frozen=True)
class DepthLayout:
    """A kind of network, its class in transformers, and its sizes."""

    kind: str
    network: type[PreTrainedModel]
    config: Any

    @property
    def side_pixels(self) -> int:
        """The side of the square pictures that it was trained on."""
        sizes = self.config.backbone_config if self.kind == ZOE else self.config
        return int(sizes.image_size)


def depth_layout(file: WeightsFile) -> DepthLayout:
    """Return the layout of a file; raise Refused if it holds no depth network."""
    shapes = file.shapes
    if "metric_head.seed_projector.conv2.weight" in shapes:
        return DepthLayout(ZOE, ZoeDepthForDepthEstimation, _zoe(shapes, file.path.name))
    if "dpt.embeddings.cls_token" in shapes and "head.head.0.weight" in shapes:
        return DepthLayout(MIDAS, DPTForDepthEstimation, _midas(shapes))
    raise Refused(
        "the file holds no depth network; MiDaS (DPT) and ZoeDepth NK are read",
        file=file.path.name,
    )


def require_whole(info: Mapping[str, Any], file: str) -> None:
    """Raise Refused unless all tensors were found in the file, in the right shapes."""
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(UNUSED))
    mismatched = sorted(str(name) for name in info["mismatched_keys"])
    if missing or mismatched:
        raise Refused(
            "the weights do not fit their own layout",
            file=file,
            missing=missing[:NAMES_SHOWN],
            mismatched=mismatched[:NAMES_SHOWN],
        )


def _midas(shapes: Shapes) -> DPTConfig:
    width = shapes["dpt.embeddings.cls_token"][-1]
    layers = _count(shapes, r"^dpt\.encoder\.layer\.(\d+)\.")
    cells = math.isqrt(shapes["dpt.embeddings.position_embeddings"][1] - 1)
    side = cells * PATCH_PIXELS
    backbone = _bit(shapes)
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // HEAD_CHANNELS),
        "intermediate_size": shapes["dpt.encoder.layer.0.intermediate.dense.weight"][0],
        "image_size": side,
        "patch_size": PATCH_PIXELS,
        "backbone_out_indices": [end - 1 for end in _stage_ends(layers)],
        "is_hybrid": backbone is not None,
        **_neck(shapes),
    }
    if backbone is not None:
        features = [1, backbone.hidden_sizes[2], cells, cells]
        sizes |= {"backbone_config": backbone, "backbone_featmap_shape": features}
    return DPTConfig(**sizes)


def _bit(shapes: Shapes) -> BitConfig | None:
    """Return the convolutional network below a hybrid one."""
    prefix = "dpt.embeddings.backbone.bit."
    stem = shapes.get(f"{prefix}embedder.convolution.weight")
    if stem is None:
        return None
    stages = f"{prefix}encoder.stages."
    wide = [shapes[f"{stages}{number}.layers.0.conv3.weight"][0] for number in range(3)]
    return BitConfig(
        embedding_size=stem[0],
        # The fourth stage is named and never made: only three are looked at.
        hidden_sizes=[*wide, 2 * wide[-1]],
        depths=[
            _count(shapes, rf"^{re.escape(stages)}{number}\.layers\.(\d+)\.") for number in range(3)
        ],
        global_padding="same",
        layer_type="bottleneck",
        out_features=["stage1", "stage2", "stage3"],
        embedding_dynamic_padding=True,
    )


def _zoe(shapes: Shapes, file: str) -> ZoeDepthConfig:
    names = [
        name for name in RANGES if f"metric_head.seed_bin_regressors.{name}.conv2.weight" in shapes
    ]
    if len(names) != len(RANGES):
        raise Refused("of the ZoeDepth networks only NK (indoors and outdoors) is read", file=file)
    metric = "metric_head."
    transformer = f"{metric}patch_transformer."
    return ZoeDepthConfig(
        backbone_config=_beit(shapes),
        **_neck(shapes),
        num_relative_features=shapes["relative_head.conv2.weight"][0],
        bottleneck_features=shapes[f"{metric}conv2.weight"][0],
        bin_embedding_dim=shapes[f"{metric}seed_projector.conv2.weight"][0],
        bin_configurations=[
            {
                "name": name,
                "n_bins": shapes[f"{metric}seed_bin_regressors.{name}.conv2.weight"][0],
                "min_depth": RANGES[name][0],
                "max_depth": RANGES[name][1],
            }
            for name in names
        ],
        num_patch_transformer_layers=_count(
            shapes, rf"^{re.escape(transformer)}transformer_encoder\.(\d+)\."
        ),
        patch_transformer_hidden_size=shapes[f"{transformer}embedding_convPxP.weight"][0],
        patch_transformer_intermediate_size=shapes[
            f"{transformer}transformer_encoder.0.linear1.weight"
        ][0],
        patch_transformer_num_attention_heads=4,
    )


def _beit(shapes: Shapes) -> BeitConfig:
    """Return the transformer below ZoeDepth, by the names of files of any age."""
    table = _shape(shapes, "relative_position_bias_table")
    patch = _shape(shapes, "patch_embeddings.projection.weight")[-1]
    layers = _count(shapes, r"^backbone\.(?:beit\.)?(?:encoder\.layer|layers)\.(\d+)\.")
    # The table has a row for each distance, and three for the class token.
    cells = (math.isqrt(table[0] - 3) + 1) // 2
    return BeitConfig(
        image_size=cells * patch,
        patch_size=patch,
        num_hidden_layers=layers,
        hidden_size=_shape(shapes, "embeddings.cls_token")[-1],
        intermediate_size=_shape(shapes, "intermediate.dense.weight", "mlp.fc1.weight")[0],
        num_attention_heads=table[1],
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=[f"stage{end}" for end in _stage_ends(layers)],
    )


def _neck(shapes: Shapes) -> dict[str, Any]:
    convolutions = [shapes[f"neck.convs.{number}.weight"] for number in range(STAGES)]
    return {
        "neck_hidden_sizes": [shape[1] for shape in convolutions],
        "fusion_hidden_size": convolutions[0][0],
    }


def _stage_ends(layers: int) -> Iterable[int]:
    return [layers * stage // STAGES for stage in range(1, STAGES + 1)]


def _count(shapes: Shapes, pattern: str) -> int:
    found = {int(match[1]) for name in shapes if (match := re.match(pattern, name))}
    return max(found, default=-1) + 1


def _shape(shapes: Shapes, *endings: str) -> tuple[int, ...]:
    """Return the shape of the first tensor of the backbone whose name ends so."""
    for name, shape in shapes.items():
        if name.startswith("backbone.") and name.endswith(endings):
            return shape
    raise Refused("the weights do not fit their own layout", missing=list(endings))
