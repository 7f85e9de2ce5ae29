"""Stable Diffusion 3 and 3.5: transformers in which picture and text attend to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat, NetworkWeights
from libs.diffusion.architectures.patching import PATCH, in_whole_patches
from libs.diffusion.architectures.sd3_names import sd3_config, sd3_from_single_file
from libs.diffusion.loader.build import build
from libs.diffusion.text import reading
from libs.diffusion.text.reading import Reading
from libs.sampling.conditioning import Entry
from libs.sampling.control import Call, Extras
from libs.sampling.levels import Flow

MARK: Final = "joint_blocks.0.x_block.attn.qkv.weight"
NETWORK_CLASS: Final = "SD3Transformer2DModel"
LATENT: Final = LatentFormat(16, 1.5305, 0.0609)
LEVELS: Final = Flow(shift=3.0, multiplier=1000.0)


def detect(weights: NetworkWeights) -> StableDiffusion3 | None:
    """Return the sizes of the network, None if this is none of this kind."""
    if weights.network_class == NETWORK_CLASS:
        return StableDiffusion3(weights.settings, single_file=False)
    if MARK not in weights.shapes or "pos_embed" not in weights.shapes:
        return None
    return StableDiffusion3(sd3_config(weights.shapes), single_file=True)


@dataclass(frozen=True)
class StableDiffusion3:
    """One size of it; `single_file` says that tensors are named as in single files."""

    config: Mapping[str, Any]
    single_file: bool
    name: str = "sd3"
    latent: LatentFormat = LATENT
    levels: Flow = LEVELS
    repeats_text: bool = False
    joins_runs: bool = True
    spatial: frozenset[str] = field(default=frozenset())
    half: torch.dtype = torch.float16
    reading: Reading = reading.SD3

    def build(self, tensors: dict[str, Tensor]) -> SD3Transformer2DModel:
        """Build the network from its tensors, without prefix; raise Refused if they do not fit."""
        named = sd3_from_single_file(tensors) if self.single_file else tensors
        return build(lambda: SD3Transformer2DModel.from_config(dict(self.config)), named)

    def evaluate(self, network: nn.Module, call: Call) -> Tensor:
        """Ask the network; everything in `call` lies on its device."""
        rows, columns = call.x.shape[-2:]
        output: Tensor = network(
            hidden_states=in_whole_patches(call.x),
            encoder_hidden_states=call.context,
            pooled_projections=call.extras["pooled"].to(call.x),
            timestep=call.timestep,
            block_controlnet_hidden_states=call.control.get("blocks"),
            return_dict=False,
        )[0]
        return output[..., :rows, :columns]

    def extras(
        self,
        entry: Entry,
        positive: bool,  # noqa: ARG002
        latent: Tensor,
        mask: Tensor | None = None,  # noqa: ARG002
    ) -> Extras:
        """Return the summary of the text."""
        self._require_size(latent)
        if entry.pooled is None:
            raise Refused("this model wants a text encoded by an SD3 text encoder")
        return {"pooled": entry.pooled}

    def _require_size(self, latent: Tensor) -> None:
        cells = int(self.config["pos_embed_max_size"]) * PATCH
        if max(latent.shape[-2:]) > cells:
            raise Refused(
                "the picture is larger than this model can place",
                field="width" if latent.shape[-1] > cells else "height",
                limit=cells * self.latent.pixels_per_cell,
            )
