"""AnimateDiff: a UNet of Stable Diffusion whose pictures know each other as frames of a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat
from libs.diffusion.architectures.stable_diffusion import SD1, StableDiffusion
from libs.diffusion.text.reading import Reading
from libs.sampling.conditioning import Entry
from libs.sampling.control import Call, Extras
from libs.sampling.levels import BETA_END, BETA_START, STEPS_TRAINED, Chain

FRAMES_MIN: Final = 16
FRAMES_MAX: Final = 32


@dataclass(frozen=True)
class Window:
    """How many frames the network sees at a time, and how many of them it saw before."""

    length: int
    overlap: int

    def spans(self, frames: int) -> Iterator[slice]:
        """Yield what is seen at a time; the last one ends with the last frame."""
        if frames <= self.length:
            yield slice(0, frames)
            return
        step = self.length - self.overlap
        for first in range(0, frames - self.overlap, step):
            start = min(first, frames - self.length)
            yield slice(start, start + self.length)


@dataclass(frozen=True)
class AnimateDiff:
    """A UNet with a motion module: the frames are the batch of a latent."""

    base: StableDiffusion
    window: Window

    @property
    def name(self) -> str:
        return f"animatediff_{self.base.name}"

    @property
    def latent(self) -> LatentFormat:
        return self.base.latent

    @property
    def levels(self) -> Chain:
        """Motion modules for Stable Diffusion 1 were trained at levels of their own."""
        if self.base.family is not SD1:
            return self.base.levels
        betas = np.linspace(BETA_START, BETA_END, STEPS_TRAINED)
        return Chain(
            self.base.levels.prediction,
            zero_terminal_snr=self.base.levels.zero_terminal_snr,
            signal=np.cumprod(1 - betas, dtype=np.float64),
        )

    @property
    def repeats_text(self) -> bool:
        return self.base.repeats_text

    @property
    def spatial(self) -> frozenset[str]:
        return self.base.spatial

    def build(self, tensors: dict[str, Tensor]) -> nn.Module:
        network: nn.Module = self.base.build(tensors)
        return network

    def evaluate(self, network: nn.Module, call: Call) -> Tensor:
        if "inside" in call.control:
            raise Refused("T2I-Adapters cannot lead videos: use a ControlNet")
        videos = max(1, len(call.positive))
        frames = len(call.x) // videos
        shape = (videos, frames, *call.x.shape[1:])
        total = torch.zeros(shape, dtype=torch.float32, device=call.x.device)
        times = total.new_zeros(frames, 1, 1, 1)
        for span in self.window.spans(frames):
            seen = self._evaluate(network, _cut(call, videos, span), videos)
            total[:, span] += seen.reshape(videos, -1, *seen.shape[1:])
            times[span] += 1
        return (total / times).flatten(0, 1)

    def _evaluate(self, network: nn.Module, call: Call, videos: int) -> Tensor:
        """Let the network be asked as if it knew pictures only."""

        def of_pictures(
            x: Tensor, timestep: Tensor, added_cond_kwargs: Extras | None, **given: object
        ) -> tuple[Tensor]:
            frames = len(x) // videos
            extras = {name: extra[::frames] for name, extra in (added_cond_kwargs or {}).items()}
            side_by_side = x.reshape(videos, frames, *x.shape[1:]).movedim(1, 2)
            output: Tensor = network(
                side_by_side, timestep[::frames], added_cond_kwargs=extras, **given
            )[0]
            return (output.movedim(2, 1).flatten(0, 1),)

        return self.base.evaluate(cast("nn.Module", of_pictures), call)

    def extras(
        self, entry: Entry, positive: bool, latent: Tensor, mask: Tensor | None = None
    ) -> Extras:
        if not FRAMES_MIN <= len(latent) <= FRAMES_MAX:
            raise Refused(
                "an animated model makes videos of 16 to 32 frames",
                field="length",
                received=len(latent),
                minimum=FRAMES_MIN,
                maximum=FRAMES_MAX,
            )
        return self.base.extras(entry, positive, latent, mask)

    @property
    def half(self) -> torch.dtype:
        return self.base.half

    @property
    def reading(self) -> Reading:
        return self.base.reading


def _cut(call: Call, videos: int, span: slice) -> Call:
    """Return the evaluation of some of the frames of each video."""

    def cut(tensor: Tensor) -> Tensor:
        return tensor.reshape(videos, -1, *tensor.shape[1:])[:, span].flatten(0, 1)

    return replace(
        call,
        x=cut(call.x),
        timestep=cut(call.timestep),
        context=cut(call.context),
        extras={name: cut(extra) for name, extra in call.extras.items()},
        control={
            kind: [place if place is None else cut(place) for place in places]
            for kind, places in call.control.items()
        },
    )
