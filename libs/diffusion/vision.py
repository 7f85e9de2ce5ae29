"""CLIP_VISION: a network that sees what is in a picture, and what it saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection, SiglipVisionModel

from libs.core.errors import Refused
from libs.diffusion.residency import Resident
from libs.diffusion.vae import Vae
from libs.diffusion.values import Picture
from libs.sampling.conditioning import Conditioning, Entry

MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
DEVIATION: Final = (0.26862954, 0.26130258, 0.27577711)
# SigLIP wants -1 to 1.
EVEN: Final = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class VisionOutput:
    """CLIP_VISION_OUTPUT: what was seen in each picture, float32 on the CPU.

    `embeds` [count, width of the text] is the summary; `last` and `penultimate` are the states
    [count, patches + 1, width] behind the last layer, and behind the one before it. SigLIP sums
    nothing up: its `embeds` are `last`, [count, patches, width].
    """

    embeds: Tensor
    last: Tensor
    penultimate: Tensor

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.embeds.nbytes + self.last.nbytes + self.penultimate.nbytes


@dataclass(frozen=True)
class ClipVision:
    """CLIP_VISION: the network; it computes in float32 as text encoders do."""

    network: Resident[CLIPVisionModelWithProjection | SiglipVisionModel]

    @torch.inference_mode()
    def encode(self, image: Picture, crop: str = "center") -> VisionOutput:
        """Look at pictures; `crop` "center" cuts them square, anything else squeezes them."""
        network = self.network.get()
        weight = next(network.parameters())
        even = isinstance(network, SiglipVisionModel)
        pixels = prepared(image.pixels, network.config.image_size, cut=crop == "center", even=even)
        seen = network(pixels.to(weight.device, weight.dtype), output_hidden_states=True)
        return VisionOutput(
            embeds=(seen.last_hidden_state if even else seen.image_embeds).float().cpu(),
            last=seen.last_hidden_state.float().cpu(),
            penultimate=seen.hidden_states[-2].float().cpu(),
        )

    def animating(
        self,
        image: Picture,
        vae: Vae,
        *,
        width: int,
        height: int,
        motion_bucket_id: int,
        fps: int,
        augmentation_level: float,
    ) -> tuple[Conditioning, Conditioning]:
        """Return what a video model goes on from: the picture, and for guidance no picture.

        Noise on the picture is always the same, so that a graph gives the same video again.
        """
        summary = self.encode(image).embeds
        if summary.ndim > 2:
            raise Refused("a video begins with what CLIP vision sees: SigLIP sums up no picture")
        seen = summary[None]
        pixels = image.scaled("bilinear", width, height, "center").pixels
        if augmentation_level > 0:
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(pixels.shape, generator=generator)
            pixels = pixels + noise * augmentation_level
        first = vae.encode(Picture(pixels)).samples
        motion = {"fps": fps, "bucket": motion_bucket_id, "augmentation": augmentation_level}
        positive, negative = (
            Entry(context, extras={"motion": motion, "first_frame": beside})
            for context, beside in (
                (seen, first),
                (torch.zeros_like(seen), torch.zeros_like(first)),
            )
        )
        return Conditioning((positive,)), Conditioning((negative,))


def prepared(pixels: Tensor, side: int, *, cut: bool, even: bool = False) -> Tensor:
    """Return pictures [count, height, width, 3] as the network was trained on them.

    They pass through whole bytes, as if they had come out of a file; `even` levels all colours
    alike.
    """
    batch = pixels[..., :3].movedim(-1, 1)
    if batch.shape[-2:] != (side, side):
        size = (side, side)
        if cut:
            factor = side / min(batch.shape[-2:])
            size = (round(factor * batch.shape[-2]), round(factor * batch.shape[-1]))
        batch = functional.interpolate(batch, size=size, mode="bicubic", antialias=True)
        top, left = (batch.shape[-2] - side) // 2, (batch.shape[-1] - side) // 2
        batch = batch[..., top : top + side, left : left + side]
    batch = (255.0 * batch).clamp(0, 255).round() / 255.0
    levels = (EVEN, EVEN) if even else (MEAN, DEVIATION)
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in levels)
    return (batch - mean) / deviation
