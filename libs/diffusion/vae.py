"""VAE: the way between pictures and latents."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat
from libs.diffusion.offload import is_lodged
from libs.diffusion.pending import Aside, PendingPicture
from libs.diffusion.placement import Placement
from libs.diffusion.residency import Resident
from libs.diffusion.values import PIXELS_PER_CELL, Latents, Mask, Picture
from libs.sampling.sizes import whole_cells
from libs.sampling.tiles import Tiling, in_tiles

GREY = 0.5


@dataclass(frozen=True)
class Vae:
    """VAE: a network that turns pictures into latents and back, one picture at a time.

    One at a time, since a batch would round differently: a picture must not depend on its
    neighbours.
    """

    network: Resident[AutoencoderKL]
    placement: Placement
    meanwhile: bool = field(default=False, kw_only=True)

    def decode(self, latent: Latents) -> Picture:
        """Turn latents into pictures."""
        return Picture(self._colours(latent))

    def decoding(self, latent: Latents) -> tuple[Picture, Callable[[], None] | None]:
        """Turn latents into pictures, and return what makes them if they are not made yet."""
        if not self.meanwhile or not self._may_wait():
            return self.decode(latent), None
        aside = Aside(self.placement.device)

        def make() -> Tensor:
            with aside.computing():
                return self._colours(latent)

        pending = PendingPicture(make)
        return pending, pending.settle

    def _may_wait(self) -> bool:
        """Say whether the network may compute beside another: not where its layers come and go."""
        return not is_lodged(self.network.get()) and self.network.cache.has_room_aside

    def _colours(self, latent: Latents) -> Tensor:
        return ((self.decoded(latent.samples) + 1.0) / 2.0).clamp(0, 1).movedim(1, -1)

    @torch.inference_mode()
    def decoded(self, samples: Tensor) -> Tensor:
        """Return latents as pictures [count, 3, height, width], about -1 to 1, on the CPU."""
        with self.network.used() as network:
            decoded = [
                network.decode(self._placed(sample), return_dict=False)[0].float().cpu()
                for sample in torch.split(samples, 1)
            ]
        return torch.cat(decoded)

    def encode(self, image: Picture) -> Latents:
        """Turn pictures into latents: the middle of what the network thinks likely."""
        return Latents(self.encoded(whole_cells(image.colours.movedim(-1, 1)) * 2.0 - 1.0))

    @torch.inference_mode()
    def decode_in_tiles(
        self,
        latent: Latents,
        tile_pixels: int,
        overlap_pixels: int,
        frames: int = 0,  # noqa: ARG002
        frames_overlap: int = 0,  # noqa: ARG002
    ) -> Picture:
        """Turn latents into pictures in tiles that overlap, for less memory.

        A VAE of videos cuts them in time too, into pieces of so many frames.
        """
        tiling = Tiling.of_latents(tile_pixels, overlap_pixels, PIXELS_PER_CELL)
        decoded = in_tiles(latent.samples, self.decoded, tiling)
        return Picture(((decoded + 1.0) / 2.0).clamp(0, 1).movedim(1, -1))

    @torch.inference_mode()
    def encode_in_tiles(
        self,
        image: Picture,
        tile_pixels: int,
        overlap_pixels: int,
        frames: int = 0,  # noqa: ARG002
        frames_overlap: int = 0,  # noqa: ARG002
    ) -> Latents:
        """Turn pictures into latents in tiles that overlap, for less memory."""
        pixels = whole_cells(image.colours.movedim(-1, 1)) * 2.0 - 1.0
        tiling = Tiling.of_pictures(tile_pixels, overlap_pixels, PIXELS_PER_CELL)
        return Latents(in_tiles(pixels, self.encoded, tiling))

    @torch.inference_mode()
    def encoded(self, pixels: Tensor) -> Tensor:
        """Return pictures [count, 3, height, width], -1 to 1, as latents, on the CPU."""
        network = self.network.get()
        encoded = [
            network.encode(self._placed(picture)).latent_dist.mode().float().cpu()
            for picture in torch.split(pixels, 1)
        ]
        return torch.cat(encoded)

    def beginning(self, image: Picture, length: int) -> Latents:
        """Return latents of a video that begins with a picture."""
        raise Refused(
            "this VAE is none of a video model that begins with a picture",
            field="vae",
            pictures=image.count,
            length=length,
        )

    def encode_around(self, image: Picture, mask: Mask, grow_pixels: int) -> Latents:
        """Turn pictures into latents with the masked part left grey and marked to repaint."""
        size = (image.height, image.width)
        values = functional.interpolate(mask.values[:, None], size=size, mode="bilinear")
        hole = whole_cells(values)
        pixels = whole_cells(image.colours.movedim(-1, 1))
        emptied = (pixels - GREY) * (1.0 - hole.round()) + GREY
        latents = self.encode(Picture(emptied.movedim(1, -1)))
        return latents.masked(Mask(grown(hole, grow_pixels)[:, 0].round()))

    def encode_hole(self, image: Picture, mask: Mask) -> tuple[Latents, Latents]:
        """Turn pictures into latents twice: whole, and with the masked part left grey."""
        size = (image.height, image.width)
        values = functional.interpolate(mask.values[:, None], size=size, mode="bilinear")
        kept = 1.0 - whole_cells(values).round()
        pixels = whole_cells(image.colours.movedim(-1, 1))
        emptied = (pixels - GREY) * kept + GREY
        return self.encode(image), self.encode(Picture(emptied.movedim(1, -1)))

    def _placed(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.placement.device, self.placement.vae)


@dataclass(frozen=True)
class TinyVae(Vae):
    """A tiny stand-in for a VAE, made for the latents of one kind of model, scaled as those are."""

    network: Resident[AutoencoderTiny]
    form: LatentFormat

    @torch.inference_mode()
    def decoded(self, samples: Tensor) -> Tensor:
        return super().decoded(self.form.inward(samples))

    @torch.inference_mode()
    def encoded(self, pixels: Tensor) -> Tensor:
        """Return pictures as latents; it knows but one latent for each."""
        network = self.network.get()
        encoded = [
            network.encode(self._placed(picture), return_dict=False)[0].float().cpu()
            for picture in torch.split(pixels, 1)
        ]
        return self.form.outward(torch.cat(encoded))


def grown(mask: Tensor, pixels: int) -> Tensor:
    """Return the mask with its edges moved outwards, so that the seam is repainted too."""
    if pixels == 0:
        return mask
    kernel = mask.new_ones(1, 1, pixels, pixels)
    padding = math.ceil((pixels - 1) / 2)
    wider = functional.conv2d(mask.round(), kernel, padding=padding).clamp(0, 1)
    return wider[..., : mask.shape[-2], : mask.shape[-1]]
