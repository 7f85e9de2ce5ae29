"""Flux dev and schnell, and the kinds that repaint or follow a drawing: rectified flow transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat, NetworkWeights
from libs.diffusion.architectures.flux_names import flux_config, flux_from_single_file
from libs.diffusion.architectures.inpainting import (
    fitted,
    hole_of,
    pixels_in_cells,
    told_mask,
)
from libs.diffusion.architectures.patching import PATCH, in_whole_patches, packed, unpacked
from libs.diffusion.loader.build import build
from libs.diffusion.style_bias import BIAS, attention_bias
from libs.diffusion.text import reading
from libs.diffusion.text.reading import Reading
from libs.sampling.conditioning import Entry
from libs.sampling.control import Call, Extras
from libs.sampling.levels import Flow

MARK: Final = "double_blocks.0.img_attn.norm.query_norm.scale"
NETWORK_CLASS: Final = "FluxTransformer2DModel"
CHANNELS: Final = 16
LATENT: Final = LatentFormat(CHANNELS, 0.3611, 0.1159)
SIDE_PIXELS_MAX: Final = 2048
MU: Final = 1.15
GUIDANCE: Final = 3.5
# What goes in beside the 16 channels of the latent, in channels of cells.
CONTROL_CHANNELS: Final = CHANNELS
FILL_CHANNELS: Final = CHANNELS + 64


def detect(weights: NetworkWeights) -> Flux | None:
    """Return the variant and sizes, None if this is no Flux."""
    if weights.network_class == NETWORK_CLASS:
        return Flux(weights.settings, single_file=False)
    shapes = weights.shapes
    if MARK not in shapes or "vector_in.in_layer.weight" not in shapes:
        return None
    return Flux(flux_config(shapes), single_file=True)


@dataclass(frozen=True)
class Flux:
    """One size of it; `single_file` says that tensors are named as in single files."""

    config: Mapping[str, Any]
    single_file: bool
    latent: LatentFormat = LATENT
    repeats_text: bool = False
    joins_runs: bool = True
    spatial: frozenset[str] = field(default=frozenset({"concat"}))
    half: torch.dtype = torch.bfloat16
    reading: Reading = reading.FLUX

    def __post_init__(self) -> None:
        if self.beside not in (0, CONTROL_CHANNELS, FILL_CHANNELS):
            raise Refused(
                "this Flux takes something beside the latent that is not known here",
                channels=self.beside,
                known=[CONTROL_CHANNELS, FILL_CHANNELS],
            )

    @property
    def name(self) -> str:
        """The variant."""
        if not self.is_guided:
            return "flux_schnell"
        return {0: "flux_dev", FILL_CHANNELS: "flux_fill"}.get(self.beside, "flux_control")

    @property
    def is_guided(self) -> bool:
        """Say whether it is told how strictly to follow the text."""
        return bool(self.config["guidance_embeds"])

    @property
    def beside(self) -> int:
        """How many channels of a cell it takes beside the latent's own."""
        return int(self.config["in_channels"]) // PATCH**2 - CHANNELS

    @property
    def levels(self) -> Flow:
        """Dev's levels are shifted towards the noise, schnell's are not."""
        if self.is_guided:
            return Flow(mu=MU, multiplier=1.0)
        return Flow(shift=1.0, multiplier=1.0)

    def seeing(self, inputs: int) -> Flux:
        """Return it looking at patches of so many numbers, if that is more than it does."""
        if inputs <= int(self.config["in_channels"]):
            return self
        return replace(self, config={**self.config, "in_channels": inputs})

    def build(self, tensors: dict[str, Tensor]) -> FluxTransformer2DModel:
        """Build the network from its tensors, without prefix; raise Refused if they do not fit."""
        named = flux_from_single_file(tensors) if self.single_file else tensors
        network = build(lambda: FluxTransformer2DModel.from_config(dict(self.config)), named)
        network.time_text_embed = told_by(network.time_text_embed)
        return network

    def evaluate(self, network: nn.Module, call: Call) -> Tensor:
        """Ask the network; everything in `call` lies on its device."""
        x = call.x
        if "concat" in call.extras:
            x = torch.cat([x, call.extras["concat"].to(x)], 1)
        rows, columns = x.shape[-2:]
        x = in_whole_patches(x)
        ids = positions(x.shape[-2] // PATCH, x.shape[-1] // PATCH, x)
        embedding = cast("Told", network.time_text_embed)
        embedding.tell(call.timestep, call.extras.get("guidance"))
        output = network(
            hidden_states=packed(x),
            encoder_hidden_states=call.context,
            pooled_projections=call.extras["pooled"].to(x),
            timestep=call.timestep,
            img_ids=ids,
            txt_ids=ids.new_zeros(call.context.shape[1], ids.shape[1]),
            guidance=None,
            controlnet_block_samples=call.control.get("double"),
            controlnet_single_block_samples=call.control.get("single"),
            joint_attention_kwargs=_biased(call, len(ids)),
            return_dict=False,
        )[0]
        return unpacked(output, *x.shape[-2:])[..., :rows, :columns]

    def extras(
        self,
        entry: Entry,
        positive: bool,  # noqa: ARG002
        latent: Tensor,
        mask: Tensor | None = None,
    ) -> Extras:
        """Return the summary of the text, the guidance, and what lies beside the latent."""
        require_size(latent, self.latent)
        width = int(self.config["pooled_projection_dim"])
        pooled = entry.pooled if entry.pooled is not None else torch.zeros(1, width)
        extras: dict[str, Tensor] = {"pooled": pooled}
        guidance: float | None = entry.extras.get("guidance", GUIDANCE)
        if self.is_guided and guidance is not None:
            extras["guidance"] = torch.tensor([guidance], dtype=torch.float32)
        if BIAS in entry.extras:
            extras[BIAS] = entry.extras[BIAS]
        if self.beside:
            extras["concat"] = self._concat(entry, latent, mask)
        return extras

    def _concat(self, entry: Entry, latent: Tensor, mask: Tensor | None) -> Tensor:
        inside = hole_of(entry)
        around = torch.zeros_like(latent) if inside is None else inside.around.to(latent)
        picture = self.latent.inward(fitted(around, latent))
        if self.beside == CONTROL_CHANNELS:
            return picture
        told = told_mask(entry, mask)
        pixels = torch.ones_like(latent[:, :1]) if told is None else told.to(latent)
        side = self.latent.pixels_per_cell
        return torch.cat([picture, pixels_in_cells(fitted(pixels, latent, side), side)], 1)


def _biased(call: Call, patches: int) -> dict[str, Tensor] | None:
    """Return how much more or less words are attended to, where a text says so."""
    told = call.extras.get(BIAS)
    if told is None:
        return None
    words = call.context.shape[1]
    return {"attention_mask": attention_bias(told, words, patches, call.x.dtype)}


class Told(nn.Module):
    """Embeds exactly what it was told last, in float32, whatever the network rounds it to."""

    timestep: Tensor
    guidance: Tensor | None

    def tell(self, timestep: Tensor, guidance: Tensor | None) -> None:
        """Say what the next evaluation is about; no guidance is not a guidance of zero."""
        self.timestep, self.guidance = timestep, guidance

    def forward(self, _timestep: Tensor, pooled: Tensor) -> Tensor:
        """Return one embedding for each latent."""
        embedded = self._embedded("timestep_embedder", self.timestep, pooled)
        if self.guidance is not None:
            embedded = embedded + self._embedded("guidance_embedder", self.guidance, pooled)
        text: Tensor = self.get_submodule("text_embedder")(pooled)
        return embedded + text

    def _embedded(self, name: str, value: Tensor, like: Tensor) -> Tensor:
        waves = self.get_submodule("time_proj")(value.float() * 1000.0)
        embedded: Tensor = self.get_submodule(name)(waves.to(like.dtype))
        return embedded


def told_by(embedding: nn.Module) -> Told:
    """Return an embedding with the same parameters under the same names."""
    told = Told()
    for name, module in embedding.named_children():
        told.add_module(name, module)
    return told.eval()


def positions(rows: int, columns: int, like: Tensor) -> Tensor:
    """Return [rows * columns, 3]: where each patch lies; the first number is always zero."""
    ids = torch.zeros(rows, columns, 3, device=like.device)
    ids[..., 1] += torch.arange(rows, device=like.device)[:, None]
    ids[..., 2] += torch.arange(columns, device=like.device)[None]
    return ids.reshape(rows * columns, 3)


def require_size(latent: Tensor, form: LatentFormat) -> None:
    """Raise Refused for pictures larger than Flux was made for."""
    for name, cells in zip(("height", "width"), latent.shape[-2:], strict=True):
        if cells * form.pixels_per_cell > SIDE_PIXELS_MAX:
            raise Refused(
                "Flux paints pictures of up to 2048 pixels a side",
                field=name,
                limit=SIDE_PIXELS_MAX,
                received=cells * form.pixels_per_cell,
            )
