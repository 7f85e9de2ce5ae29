"""Which kind of model a checkpoint is: told by its tensors' names and sizes, never by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.core.errors import Refused
from libs.diffusion.loader.text import TowerPlace, towers_in
from libs.diffusion.loader.unet import PREFIX as UNET_PREFIX
from libs.diffusion.loader.unet import UnetShape
from libs.diffusion.sampling.parameterisation import Parameterisation
from libs.diffusion.text.tower import TowerKind
from libs.diffusion.values import LATENT_CHANNELS

V_PREDICTION_KEY = "v_pred"
ZERO_TERMINAL_SNR_KEY = "ztsnr"
OPEN_CLIP_PAD = 0


@dataclass(frozen=True)
class Family:
    """What models of one family have in common, whatever their size.

    `time_ids` counts the sizes and scores that go beside the summary of a text.
    """

    name: str
    native_pixels: int
    latent_scale: float
    time_ids: int


SD1 = Family("sd1", native_pixels=512, latent_scale=0.18215, time_ids=0)
SDXL = Family("sdxl", native_pixels=1024, latent_scale=0.13025, time_ids=6)
SDXL_REFINER = Family("sdxl_refiner", native_pixels=1024, latent_scale=0.13025, time_ids=5)


@dataclass(frozen=True)
class Architecture:
    """What a checkpoint holds."""

    family: Family
    unet: UnetShape
    towers: tuple[TowerPlace, ...]
    prediction: Parameterisation

    def tower_kind(self, place: TowerPlace) -> TowerKind:
        """Say how a text encoder of this checkpoint is read."""
        pad = OPEN_CLIP_PAD if place.open_clip else TowerKind().pad
        if self.family is SD1:
            return TowerKind(pad=pad)
        return TowerKind(pad=pad, layer=-2, final_norm=False)


def detect(shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
    """Return what a checkpoint holds; raise Refused if it is of no family known here."""
    unet_shapes = {
        name.removeprefix(UNET_PREFIX): shape
        for name, shape in shapes.items()
        if name.startswith(UNET_PREFIX)
    }
    if "input_blocks.0.0.weight" not in unet_shapes:
        raise Refused(
            "this is not a Stable Diffusion 1.x or SDXL checkpoint: it has no UNet",
            tensors=len(shapes),
        )
    unet = UnetShape.of(unet_shapes)
    if unet.in_channels != LATENT_CHANNELS:
        raise Refused(
            "only UNets that take latents alone are supported, not those for inpainting",
            in_channels=unet.in_channels,
            expected=LATENT_CHANNELS,
        )
    towers = towers_in(shapes)
    prediction = Parameterisation(
        "v" if V_PREDICTION_KEY in shapes else "eps",
        zero_terminal_snr=ZERO_TERMINAL_SNR_KEY in shapes,
    )
    return Architecture(_family(unet, towers), unet, towers, prediction)


def _family(unet: UnetShape, towers: tuple[TowerPlace, ...]) -> Family:
    if not unet.summary:
        if any(place.open_clip for place in towers):
            raise Refused("Stable Diffusion 2 checkpoints are not supported")
        return SD1
    # The base attends at its lowest level, the refiner does not.
    return SDXL if unet.levels[-1].depth else SDXL_REFINER
