"""ControlNets for Flux: for one type of hint or several (InstantX), and XLabs' that see pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from diffusers import FluxControlNetModel
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures import flux
from libs.diffusion.architectures.base import LatentFormat, Shapes
from libs.diffusion.architectures.flux_names import (
    HEAD_PARTS,
    HEAD_SHARES,
    flux_from_single_file,
)
from libs.diffusion.architectures.patching import PATCH, in_whole_patches, packed
from libs.diffusion.control.base import Hint, require_text
from libs.diffusion.loader.build import build
from libs.sampling.control import Call, Residuals

HINT: Final = "controlnet_x_embedder.weight"
XLABS_HINT: Final = "pos_embed_input.weight"
XLABS_PIXELS: Final = "input_hint_block.0.weight"
MODES: Final = "controlnet_mode_embedder.weight"
# Of Flux itself: XLabs' few residuals go round and round over all its blocks.
DOUBLE_BLOCKS: Final = 19
SINGLE_BLOCKS: Final = 38
HINT_CONVOLUTIONS: Final = 8


def detect(shapes: Shapes) -> FluxControl | None:
    """Return the sizes, None if this is no such ControlNet."""
    if XLABS_HINT in shapes and XLABS_PIXELS in shapes:
        blank = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        named = {name: tuple(one.shape) for name, one in _from_xlabs(blank).items()}
        return FluxControl(_config(named), hint_channels=0, sees_pixels=True)
    if HINT not in shapes or "controlnet_blocks.0.weight" not in shapes:
        return None
    return FluxControl(_config(shapes), hint_channels=shapes[HINT][1])


@dataclass(frozen=True)
class FluxControl:
    """A ControlNet of one size."""

    config: Mapping[str, Any]
    hint_channels: int
    sees_pixels: bool = False
    name: str = "controlnet_flux"
    multiple: int = 8
    looks_once: bool = False
    half: torch.dtype = torch.bfloat16

    @property
    def latent(self) -> LatentFormat | None:
        """What its hints are encoded to; XLabs' look at the pixels."""
        return None if self.sees_pixels else flux.LATENT

    @property
    def types(self) -> int:
        """How many types of hints it tells apart."""
        return int(self.config["num_mode"] or 0)

    @property
    def extra_channels(self) -> int:
        """Those for filling masked parts take the mask behind the hint."""
        return 0 if self.sees_pixels else self.hint_channels // PATCH**2 - flux.CHANNELS

    def build(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Build the network from its tensors; raise Refused if they do not fit."""
        named = _from_xlabs(tensors) if self.sees_pixels else tensors
        network = build(self._made, named)
        network.time_text_embed = flux.told_by(network.time_text_embed)
        return cast("nn.Module", network)

    def residuals(self, network: Any, call: Call, hint: Hint, strength: float) -> Residuals:
        """Return what is to be added behind each block of both kinds."""
        require_text(call, self.config, "this ControlNet is for Flux, and the model is none")
        x = in_whole_patches(call.x)
        ids = flux.positions(x.shape[-2] // PATCH, x.shape[-1] // PATCH, x)
        network.time_text_embed.tell(call.timestep, call.extras.get("guidance"))
        network.union = bool(hint.types)
        double, single = network(
            hidden_states=packed(x),
            controlnet_cond=self._looked_at(hint.values),
            controlnet_mode=self._mode(hint, x),
            conditioning_scale=strength,
            encoder_hidden_states=call.context,
            pooled_projections=call.extras["pooled"].to(x),
            timestep=call.timestep,
            img_ids=ids,
            txt_ids=ids.new_zeros(call.context.shape[1], ids.shape[1]),
            guidance=None,
            return_dict=False,
        )
        found = {"double": double, "single": single}
        if self.sees_pixels:
            places = {"double": DOUBLE_BLOCKS, "single": SINGLE_BLOCKS}
            found = {kind: _round(found[kind], places[kind]) for kind in found}
        return {kind: some for kind, some in found.items() if some}

    def _looked_at(self, hint: Tensor) -> Tensor:
        if self.sees_pixels:
            return in_whole_patches(hint, PATCH * flux.LATENT.pixels_per_cell) * 2.0 - 1.0
        return packed(in_whole_patches(hint))

    def _mode(self, hint: Hint, like: Tensor) -> Tensor | None:
        if not hint.types:
            return None
        if max(hint.types) >= self.types:
            raise Refused(
                "this ControlNet does not know that type of hint",
                type=max(hint.types),
                known=self.types,
            )
        return torch.tensor([hint.types], device=like.device).expand(len(like), -1)

    def _made(self) -> Any:
        network = FluxControlNetModel(**self.config)
        if not self.sees_pixels and self.hint_channels != self.config["in_channels"]:
            width = network.inner_dim
            network.controlnet_x_embedder = nn.Linear(self.hint_channels, width)
        return network


def _config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds this network from."""
    width, channels = shapes["x_embedder.weight"]
    head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
    sees_pixels = "input_hint_block.conv_in.weight" in shapes
    return {
        "patch_size": PATCH if sees_pixels else 1,
        "in_channels": channels,
        "num_layers": _count(shapes, "transformer_blocks."),
        "num_single_layers": _count(shapes, "single_transformer_blocks."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "guidance_embeds": "time_text_embed.guidance_embedder.linear_1.weight" in shapes,
        "axes_dims_rope": tuple(head // HEAD_PARTS * share for share in HEAD_SHARES),
        "num_mode": shapes[MODES][0] if MODES in shapes else None,
        "conditioning_embedding_channels": flux.CHANNELS if sees_pixels else None,
    }


def _from_xlabs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under diffusers' names."""
    last = HINT_CONVOLUTIONS - 1
    own: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        start, _, end = name.partition(".")
        if start == "input_hint_block":
            number, _, leaf = end.partition(".")
            at = int(number) // 2
            inner = {0: "conv_in", last: "conv_out"}.get(at, f"blocks.{at - 1}")
            own[f"input_hint_block.{inner}.{leaf}"] = tensor
        elif start == "pos_embed_input":
            own[f"controlnet_x_embedder.{end}"] = tensor
        elif start.startswith("controlnet_"):
            own[name] = tensor
        else:
            rest[name] = tensor
    return own | flux_from_single_file(rest)


def _round(samples: Any, places: int) -> tuple[Tensor, ...] | None:
    return tuple(samples[at % len(samples)] for at in range(places)) if samples else None


def _count(shapes: Shapes, start: str) -> int:
    return len({name.split(".")[1] for name in shapes if name.startswith(start)})
