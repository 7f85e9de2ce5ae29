"""Diffusion networks out of files: which kind they are, and what draws their previews."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import structlog
import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion import previews
from libs.diffusion.architectures import detect
from libs.diffusion.architectures.base import Architecture, LatentFormat, NetworkWeights
from libs.diffusion.loader.file import Key, WeightsFile, key_of
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.loader.tiny_vae import FORMS, named_for, tiny_decoder_at
from libs.diffusion.model import Model
from libs.diffusion.packed.narrow import multiplies_in
from libs.diffusion.placement import Placement
from libs.diffusion.precision import DEFAULT, FP8_FAST, STORAGES
from libs.diffusion.vae import Vae
from libs.weights.tiny_vaes import FindTiny, nowhere

log = structlog.get_logger(__name__)


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
        draw_preview=Preview(vae, architecture.latent, placement).draw,
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


@dataclass(frozen=True)
class Preview:
    """Draws latents: with a tiny decoder where one is found, else with a linear map to RGB.

    That map is fitted to the VAE of the checkpoint when the first picture is drawn; without a VAE
    the colours are false.
    """

    vae: Vae | None
    latent: LatentFormat
    placement: Placement

    def draw(self, seen: Tensor, tiny: FindTiny = nowhere) -> bytes:
        """Return a JPEG of the first latent."""
        decoder = self._decoder(tiny)
        if decoder is not None:
            return previews.draw_decoded(decoder, seen)
        if self.projection is None:
            return previews.draw_principal(seen)
        return previews.draw(self.projection, seen)

    def _decoder(self, tiny: FindTiny) -> nn.Module | None:
        name = named_for(self.latent)
        path = tiny(name) if name else None
        if path is None:
            return None
        return tiny_decoder(key_of(path), self.placement.device, self.placement.vae)

    @cached_property
    def projection(self) -> Tensor | None:
        """The linear map from latents to RGB; only a VAE knows the colours."""
        if self.vae is None:
            return None
        return previews.fit_projection(self.vae.decoded, self.latent)


@lru_cache(maxsize=len(FORMS))
def tiny_decoder(key: Key, device: torch.device, dtype: torch.dtype) -> nn.Module | None:
    """Return the decoder in a file, None if it cannot be read: no run fails for a preview."""
    path = Path(key[0])
    try:
        return tiny_decoder_at(path, device, dtype)
    except Refused as error:
        log.warning("tiny_decoder_unread", file=path.name, reason=str(error))
        return None
