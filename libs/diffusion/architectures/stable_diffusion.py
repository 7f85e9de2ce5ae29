"""Stable Diffusion 1.x, its inpainting kind, SDXL and its refiner: UNets that attend to CLIP texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import PREFIX, LatentFormat, NetworkWeights
from libs.diffusion.architectures.inpainting import mask_and_surroundings
from libs.diffusion.loader.build import build
from libs.diffusion.loader.unet import UnetShape
from libs.diffusion.text import reading
from libs.diffusion.text.reading import Reading
from libs.sampling.conditioning import Entry
from libs.sampling.control import Call, Extras
from libs.sampling.levels import Chain
from libs.sampling.sizes import summed_up, time_ids

V_PREDICTION_KEY: Final = "v_pred"
ZERO_TERMINAL_SNR_KEY: Final = "ztsnr"
FIRST: Final = "input_blocks.0.0.weight"
LAST: Final = "out.2.weight"
NETWORK_CLASS: Final = "UNet2DConditionModel"
TEXT_LATENT_CHANNELS: Final = 4
INPAINT_CHANNELS: Final = 9


@dataclass(frozen=True)
class Family:
    """What models of one family have in common, whatever their size.

    `time_ids` counts the sizes and scores that go beside the summary of a text.
    """

    name: str
    native_pixels: int
    latent_scale: float
    time_ids: int
    reading: Reading


SD1: Final = Family("sd1", 512, 0.18215, 0, reading.SD1)
SDXL: Final = Family("sdxl", 1024, 0.13025, 6, reading.SDXL)
SDXL_REFINER: Final = Family("sdxl_refiner", 1024, 0.13025, 5, reading.SDXL_REFINER)


def detect(weights: NetworkWeights) -> StableDiffusion | None:
    """Return the family and sizes, None if this is no such UNet."""
    if weights.network_class == NETWORK_CLASS:
        shape, single_file = UnetShape.of_settings(weights.settings), False
        levels = Chain(
            "v" if weights.schedule.get("prediction_type") == "v_prediction" else "eps",
            zero_terminal_snr=bool(weights.schedule.get("rescale_betas_zero_snr")),
        )
    elif FIRST in weights.shapes and LAST in weights.shapes:
        shape, single_file = UnetShape.of(weights.shapes), True
        levels = Chain(
            "v" if V_PREDICTION_KEY in weights.file else "eps",
            zero_terminal_snr=ZERO_TERMINAL_SNR_KEY in weights.file,
        )
    else:
        return None
    if shape.out_channels != TEXT_LATENT_CHANNELS:
        return None
    if shape.in_channels not in (TEXT_LATENT_CHANNELS, INPAINT_CHANNELS):
        raise Refused(
            "this UNet takes something beside the latent that is not known here",
            in_channels=shape.in_channels,
            known=[TEXT_LATENT_CHANNELS, INPAINT_CHANNELS],
        )
    return StableDiffusion(_family(shape), shape, levels, single_file)


def _family(shape: UnetShape) -> Family:
    if not shape.summary:
        if shape.linear:
            raise Refused("Stable Diffusion 2 checkpoints are not supported")
        return SD1
    # The base attends at its lowest level, the refiner does not.
    return SDXL if shape.levels[-1].depth else SDXL_REFINER


@dataclass(frozen=True)
class StableDiffusion:
    """A UNet of one of the families; `single_file` says how its tensors are named."""

    family: Family
    shape: UnetShape
    levels: Chain
    single_file: bool = True
    repeats_text: bool = True
    joins_runs: bool = True
    half: torch.dtype = torch.float16
    spatial: frozenset[str] = field(default=frozenset({"concat"}))

    @property
    def name(self) -> str:
        return self.family.name

    @property
    def latent(self) -> LatentFormat:
        return LatentFormat(TEXT_LATENT_CHANNELS, self.family.latent_scale)

    @property
    def is_inpainting(self) -> bool:
        """Say whether it takes a mask and the rest of the picture beside the latent."""
        return self.shape.in_channels == INPAINT_CHANNELS

    def build(self, tensors: dict[str, Tensor]) -> UNet2DConditionModel:
        config = self.shape.config()
        if not self.single_file:
            return build(lambda: UNet2DConditionModel(**config), tensors)
        prefixed = {PREFIX + name: tensor for name, tensor in tensors.items()}
        converted = convert_ldm_unet_checkpoint(prefixed, dict(config))
        return build(lambda: UNet2DConditionModel(**config), converted)

    def evaluate(self, network: nn.Module, call: Call) -> Tensor:
        extras = dict(call.extras)
        x = call.x
        if (concat := extras.pop("concat", None)) is not None:
            x = torch.cat([x, concat.to(x)], 1)
        down = call.control.get("down")
        middle = call.control.get("middle")
        inside = call.control.get("inside")
        output: Tensor = network(
            x,
            call.timestep,
            encoder_hidden_states=call.context,
            added_cond_kwargs=extras or None,
            down_block_additional_residuals=tuple(down) if down else None,
            mid_block_additional_residual=middle[0] if middle else None,
            **({"down_intrablock_additional_residuals": list(inside)} if inside else {}),
            return_dict=False,
        )[0]
        return output

    def extras(
        self, entry: Entry, positive: bool, latent: Tensor, mask: Tensor | None = None
    ) -> Extras:
        extras = self._sizes(entry, positive, latent)
        if self.is_inpainting:
            extras["concat"] = mask_and_surroundings(entry, latent, mask, self.latent)
        return extras

    @property
    def reading(self) -> Reading:
        return self.family.reading

    def _sizes(self, entry: Entry, positive: bool, latent: Tensor) -> dict[str, Tensor]:
        if not self.family.time_ids:
            return {}
        ids = time_ids(entry, latent, self.family.time_ids, positive=positive)
        return {
            "text_embeds": summed_up(entry, self.family.name),
            "time_ids": torch.tensor([ids], dtype=torch.float32),
        }
