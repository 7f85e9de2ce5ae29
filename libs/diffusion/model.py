"""MODEL: a diffusion network with what it was trained to predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.conditioning import Conditioning, Entry
from libs.diffusion.loader.detect import SDXL_REFINER, Architecture
from libs.diffusion.placement import Placement
from libs.diffusion.residency import Resident
from libs.diffusion.sampling.course import Course
from libs.diffusion.sampling.guidance import Call, Guided, Network
from libs.diffusion.sampling.run import Start, mask_in_cells, walk
from libs.diffusion.values import PIXELS_PER_CELL, Latents

AESTHETIC_POSITIVE = 6.0
AESTHETIC_NEGATIVE = 2.5

DrawPreview = Callable[[Tensor], bytes]


class OnStep(Protocol):
    """Hears of each step; a preview is only drawn if somebody asks for it."""

    def __call__(self, value: int, total: int, preview: Callable[[], bytes] | None = None) -> None:
        """Report that `value` of `total` steps are done."""


@dataclass(frozen=True)
class Model:
    """MODEL: the UNet of a checkpoint, where it is computed, and how previews are drawn."""

    unet: Resident[UNet2DConditionModel]
    architecture: Architecture
    placement: Placement
    compatibility: int
    draw_preview: DrawPreview

    def sample(
        self,
        latent: Latents,
        *,
        positive: Conditioning,
        negative: Conditioning,
        seed: int,
        steps: int,
        cfg: float,
        sampler: str,
        scheduler: str,
        denoise: float = 1.0,
        add_noise: bool = True,
        first_step: int = 0,
        last_step: int = 10_000,
        keep_noise: bool = False,
        on_step: OnStep,
    ) -> Latents:
        """Denoise towards the positive and away from the negative."""
        course = Course(
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            scheduler=scheduler,
            denoise=denoise,
            add_noise=add_noise,
            first_step=first_step,
            last_step=last_step,
            keep_noise=keep_noise,
        )
        return self.walk(course, latent, positive, negative, on_step)

    @torch.inference_mode()
    def walk(
        self,
        course: Course,
        latent: Latents,
        positive: Conditioning,
        negative: Conditioning,
        on_step: OnStep,
    ) -> Latents:
        """Walk a course from a latent and return the latent at its end."""
        start = self._start(latent)
        guided = Guided(
            network=self._network(),
            levels=self.architecture.prediction,
            positive=positive,
            negative=negative,
            cfg=course.cfg,
            extras_of=self._extras(start.latent),
        )

        def on_seen(done: int, total: int, seen: Tensor) -> None:
            on_step(done, total, lambda: self.draw_preview(seen))

        end = walk(course, start, self.architecture.prediction, guided, on_seen)
        if end is None:
            return latent
        return Latents((end / self.architecture.family.latent_scale).cpu(), latent.mask)

    def _start(self, latent: Latents) -> Start:
        samples = latent.samples.to(self.placement.device)
        # An empty latent is no picture of grey: it is nothing, which no scale changes.
        if samples.count_nonzero():
            samples = samples * self.architecture.family.latent_scale
        mask = None
        if latent.mask is not None:
            mask = mask_in_cells(latent.mask.values.to(self.placement.device), samples)
        return Start(latent=samples, mask=mask, compatibility=self.compatibility)

    def _network(self) -> Network:
        unet, device, dtype = self.unet.get(), self.placement.device, self.placement.unet

        def evaluate(call: Call) -> Tensor:
            extras = {name: extra.to(device) for name, extra in call.extras.items()}
            output: Tensor = unet(
                call.x.to(dtype),
                call.timestep.to(device),
                encoder_hidden_states=call.context.to(device, dtype),
                added_cond_kwargs=extras or None,
                return_dict=False,
            )[0]
            return output

        return evaluate

    def _extras(self, latent: Tensor) -> Callable[[Entry, bool], Mapping[str, Tensor]]:
        family = self.architecture.family
        height, width = (side * PIXELS_PER_CELL for side in latent.shape[-2:])

        def extras(entry: Entry, positive: bool) -> Mapping[str, Tensor]:
            if not family.time_ids:
                return {}
            if entry.pooled is None:
                raise Refused(
                    "this model wants a text encoded by an SDXL text encoder",
                    family=family.name,
                )
            ids: list[float] = [height, width, 0, 0, height, width]
            if family is SDXL_REFINER:
                score = AESTHETIC_POSITIVE if positive else AESTHETIC_NEGATIVE
                ids = [height, width, 0, 0, score]
            return {
                "text_embeds": entry.pooled,
                "time_ids": torch.tensor([ids], dtype=torch.float32),
            }

        return extras
