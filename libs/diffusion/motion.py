"""MOTION_MODEL: what makes a model of pictures a model of videos."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from diffusers import MotionAdapter, UNetMotionModel

from libs.core.errors import Refused
from libs.diffusion.architectures.animatediff import AnimateDiff, Window
from libs.diffusion.architectures.stable_diffusion import StableDiffusion
from libs.diffusion.loader.build import build
from libs.diffusion.loader.motion import MotionShape
from libs.diffusion.model import Model
from libs.diffusion.residency import Resident


@dataclass(frozen=True)
class MotionModel:
    """MOTION_MODEL: a motion module, to be set into a UNet of the same sizes."""

    network: Resident[MotionAdapter]
    shape: MotionShape

    def applied_to(self, model: Model, context_length: int, context_overlap: int) -> Model:
        """Return the model with motion; it sees `context_length` frames at a time.

        More than the motion module can tell apart are never seen at once.
        """
        base = model.architecture
        if not isinstance(base, StableDiffusion):
            raise Refused(
                "motion modules are for Stable Diffusion 1 and SDXL",
                field="model",
                received=base.name,
            )
        self._require_fit(base)
        length = min(context_length, self.shape.frames_max)
        if context_overlap >= length:
            raise Refused(
                "frames that are seen again must be fewer than are seen at a time",
                field="context_overlap",
                received=context_overlap,
                limit=length - 1,
            )
        architecture = AnimateDiff(base, Window(length, context_overlap))
        return replace(
            model,
            network=self._joined(model),
            architecture=architecture,
            levels=architecture.levels,
        )

    def _joined(self, model: Model) -> Resident[torch.nn.Module]:
        pictures, motion = model.network, self.network
        key = (pictures.key, motion.key, "animatediff", str(model.placement.device))
        return Resident(
            pictures.cache, key, lambda: joined(pictures.get(), motion.get()), pictures.device
        )

    def _require_fit(self, base: StableDiffusion) -> None:
        widths = tuple(level.channels for level in base.shape.levels)
        blocks = {level.blocks for level in base.shape.levels}
        if (widths, blocks) != (self.shape.widths, {self.shape.layers}):
            raise Refused(
                "the motion module is for another kind of model",
                field="motion_model",
                received=list(self.shape.widths),
                wanted=list(widths),
            )


def joined(pictures: torch.nn.Module, motion: MotionAdapter) -> UNetMotionModel:
    """Return a network over both, whose numbers are theirs and not copies."""

    def make() -> UNetMotionModel:
        return UNetMotionModel.from_unet2d(pictures, motion, load_weights=False)

    network: UNetMotionModel = build(make, pictures.state_dict() | motion.state_dict())
    return network
