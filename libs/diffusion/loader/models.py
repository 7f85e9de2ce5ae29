"""Diffusion networks out of files: which kind they are, and what draws their previews."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion import previews
from libs.diffusion.architectures import detect
from libs.diffusion.architectures.base import Architecture, LatentFormat, NetworkWeights
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.model import DrawPreview, Model
from libs.diffusion.packed.narrow import multiplies_in
from libs.diffusion.placement import Placement
from libs.diffusion.precision import DEFAULT, FP8_FAST, STORAGES
from libs.diffusion.vae import Vae


def architecture_of(file: WeightsFile) -> tuple[Architecture, str]:
    """Return the kind of network in a file, and the prefix of its tensors."""
    weights = NetworkWeights.of(file.shapes, file.metadata, file.configs)
    return detect(weights), weights.prefix


def model_in(
    shelf: Shelf, file: WeightsFile, vae: Vae | None = None, weight_format: str = DEFAULT
) -> Model:
    """Return the diffusion model in a file; the VAE beside it draws its previews."""
    architecture, prefix = architecture_of(file)
    placement = _placement(shelf.placement, architecture)
    kept = _storage(placement, weight_format)

    def load() -> nn.Module:
        return architecture.build(file.read_under(prefix, placement.unet))

    def blank() -> nn.Module:
        return architecture.build(file.blank_under(prefix))

    return Model(
        network=shelf.resident(file, "unet", load, blank=blank, storage=kept),
        architecture=architecture,
        placement=placement,
        compatibility=shelf.compatibility,
        draw_preview=_preview(vae, architecture.latent),
        levels=architecture.levels,
        levers=shelf.levers,
    )


def _placement(placement: Placement, architecture: Architecture) -> Placement:
    """Return the placement with the half precision that the network wants, if it is halved."""
    if placement.unet is torch.float32:
        return placement
    return replace(placement, unet=architecture.half)


def _storage(placement: Placement, weight_format: str) -> str:
    """Return how weights are kept: as the graph says, else as the worker does."""
    if weight_format == DEFAULT:
        return placement.storage
    if weight_format == FP8_FAST and not multiplies_in(placement.device):
        # The same numbers, multiplied in a wider format.
        weight_format = "fp8_e4m3fn"
    if weight_format not in STORAGES:
        raise Refused(
            "there is no such number format",
            field="weight_dtype",
            received=weight_format,
            known=list(STORAGES),
        )
    return weight_format


def _preview(vae: Vae | None, latent: LatentFormat) -> DrawPreview:
    if vae is None:
        return previews.draw_principal
    return Preview(vae, latent).draw


@dataclass(frozen=True)
class Preview:
    """Draws latents of a checkpoint; its map to RGB is fitted when the first is drawn."""

    vae: Vae
    latent: LatentFormat

    def draw(self, seen: Tensor) -> bytes:
        """Return a JPEG of the first latent."""
        return previews.draw(self.projection, seen)

    @cached_property
    def projection(self) -> Tensor:
        """The linear map from latents to RGB."""
        return previews.fit_projection(self.vae.decoded, self.latent)
