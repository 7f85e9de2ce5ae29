"""Stable Video Diffusion: a UNet over pictures and time that goes on from one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat, NetworkWeights
from libs.diffusion.loader.spatiotemporal import build_unet, is_spatiotemporal
from libs.diffusion.scaling import scale
from libs.diffusion.text.reading import Reading
from libs.sampling.conditioning import Entry
from libs.sampling.control import Call, Extras
from libs.sampling.levels import Continuous

FRAMES_MIN: Final = 14
FRAMES_MAX: Final = 25
LATENT_CHANNELS: Final = 4
LATENT_SCALE: Final = 0.18215
LEVEL_MIN: Final = 0.002
LEVEL_MAX: Final = 700.0
FRAMES_PER_SECOND: Final = 6
MOTION: Final = 127


def detect(weights: NetworkWeights) -> StableVideo | None:
    """Return the architecture, None if this is no UNet over time."""
    return StableVideo() if is_spatiotemporal(weights.shapes) else None


@dataclass(frozen=True)
class StableVideo:
    """SVD with 14 frames and SVD-XT with 25: the frames are the batch of a latent."""

    name: str = "svd"
    latent: LatentFormat = field(default=LatentFormat(LATENT_CHANNELS, LATENT_SCALE))
    levels: Continuous = field(default=Continuous(lowest=LEVEL_MIN, highest=LEVEL_MAX))
    repeats_text: bool = True
    spatial: frozenset[str] = field(default=frozenset({"concat"}))
    half: torch.dtype = torch.float16

    def build(self, tensors: dict[str, Tensor]) -> UNetSpatioTemporalConditionModel:
        return build_unet(tensors)

    def evaluate(self, network: nn.Module, call: Call) -> Tensor:
        frames = len(call.x) // max(1, len(call.positive))
        x = torch.cat([call.x, call.extras["concat"].to(call.x)], 1)
        videos = x.reshape(-1, frames, *x.shape[1:])
        output: Tensor = network(
            videos,
            call.timestep[::frames],
            # What is told about a video is the same for each of its frames.
            call.context[::frames],
            added_time_ids=call.extras["time_ids"][::frames],
            return_dict=False,
        )[0]
        return output.flatten(0, 1)

    def extras(
        self,
        entry: Entry,
        positive: bool,  # noqa: ARG002
        latent: Tensor,
        mask: Tensor | None = None,  # noqa: ARG002
    ) -> Extras:
        frames = len(latent)
        if not FRAMES_MIN <= frames <= FRAMES_MAX:
            raise Refused(
                "this model makes videos of 14 to 25 frames",
                field="video_frames",
                received=frames,
                minimum=FRAMES_MIN,
                maximum=FRAMES_MAX,
            )
        motion: Mapping[str, float] = entry.extras.get("motion", {})
        ids = [
            motion.get("fps", FRAMES_PER_SECOND) - 1,
            motion.get("bucket", MOTION),
            motion.get("augmentation", 0.0),
        ]
        return {
            "time_ids": torch.tensor([ids], dtype=torch.float32),
            "concat": _beside(entry.extras.get("first_frame"), latent),
        }

    @property
    def reading(self) -> Reading:
        raise Refused(
            "this model takes a picture and no text; load it with ImageOnlyCheckpointLoader"
        )


def _beside(first: Tensor | None, latent: Tensor) -> Tensor:
    """Return the picture as it goes beside each frame: as encoded, at the latent's size.

    Several pictures are spread evenly over the frames.
    """
    if first is None:
        return torch.zeros_like(latent)
    if first.shape[-2:] != latent.shape[-2:]:
        first = scale(first, "bilinear", (latent.shape[-2], latent.shape[-1]), "center")
    count, frames = len(first), len(latent)
    spread = [min(int((at + 0.5) * count / frames), count - 1) for at in range(frames)]
    return first[spread]
