"""MODEL and VAE on ONNX Runtime: the sampling is the torch engine's, the arrays are numpy's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from libs.core.errors import Refused
from libs.portable.bundle import Manifest
from libs.portable.session import Sessions
from libs.portable.values import PIXELS_PER_CELL, Latents, Picture
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.control import Call, Extras
from libs.sampling.course import Course
from libs.sampling.guidance import Guided
from libs.sampling.numpy_noise import NumpyNoise
from libs.sampling.run import Start, walk

Floats = NDArray[np.float32]
REFINER_IDS: Final = 5
AESTHETIC_POSITIVE: Final = 6.0
AESTHETIC_NEGATIVE: Final = 2.5


class OnStep(Protocol):
    """Hears of each step."""

    def __call__(self, value: int, total: int, preview: Callable[[], bytes] | None = None) -> None:
        """Report that `value` of `total` steps are done."""


@dataclass(frozen=True)
class Model:
    """MODEL: the denoiser of an exported model."""

    manifest: Manifest
    folder: Path
    sessions: Sessions
    compatibility: int

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
        start = self._start(latent)
        levels = self.manifest.levels()
        guided = Guided(
            network=self._evaluate,
            levels=levels,
            positive=positive,
            negative=negative,
            cfg=cfg,
            extras_of=lambda entry, side: self._extras(entry, side, start.latent),
        )
        end = walk(course, start, levels, guided, lambda done, total, _: on_step(done, total))
        if end is None:
            return latent
        samples = end / np.float32(self.manifest.scale) + np.float32(self.manifest.shift)
        return replace(latent, samples=samples.astype(np.float32))

    def _start(self, latent: Latents) -> Start:
        samples = latent.samples
        if samples.any():
            samples = (samples - np.float32(self.manifest.shift)) * np.float32(self.manifest.scale)
        mask = latent.mask.in_cells(samples) if latent.mask is not None else None
        return Start(
            latent=samples,
            mask=mask,
            noise=NumpyNoise(self.compatibility),
            batch_index=latent.batch_index,
        )

    def _evaluate(self, call: Call) -> Floats:
        inputs = {"x": call.x, "timestep": call.timestep, "context": call.context, **call.extras}
        placed = {name: np.ascontiguousarray(value, np.float32) for name, value in inputs.items()}
        return self.sessions.run(self.folder / self.manifest.denoiser, placed)[0]

    def _extras(self, entry: Entry, positive: bool, latent: Floats) -> Extras:
        if not self.manifest.time_ids:
            return {}
        if entry.pooled is None:
            raise Refused(
                "this model wants a text encoded by an SDXL text encoder",
                family=self.manifest.family,
            )
        height, width = (side * PIXELS_PER_CELL for side in latent.shape[-2:])
        ids: list[float] = [height, width, 0, 0, height, width]
        if self.manifest.time_ids == REFINER_IDS:
            score = AESTHETIC_POSITIVE if positive else AESTHETIC_NEGATIVE
            ids = [height, width, 0, 0, score]
        return {"text_embeds": entry.pooled, "time_ids": np.array([ids], np.float32)}


@dataclass(frozen=True)
class Vae:
    """VAE: the two networks between pictures and latents, one picture at a time."""

    manifest: Manifest
    folder: Path
    sessions: Sessions

    def decode(self, latent: Latents) -> Picture:
        """Turn latents into pictures."""
        path = self.folder / self.manifest.decoder
        decoded = [self.sessions.run(path, {"z": one[None]})[0] for one in latent.samples]
        pixels = np.clip((np.concatenate(decoded) + np.float32(1.0)) / np.float32(2.0), 0, 1)
        return Picture(np.moveaxis(pixels, 1, -1))

    def encode(self, image: Picture) -> Latents:
        """Turn pictures into latents: the middle of what the network thinks likely."""
        pixels = _whole_cells(np.moveaxis(image.pixels, -1, 1)) * np.float32(2.0) - np.float32(1.0)
        path = self.folder / self.manifest.encoder
        encoded = [
            self.sessions.run(path, {"pixels": np.ascontiguousarray(one[None])})[0]
            for one in pixels
        ]
        return Latents(np.concatenate(encoded))


def _whole_cells(batch: Floats) -> Floats:
    """Cut [count, channels, height, width] to multiples of eight, from the middle."""
    height, width = (side // PIXELS_PER_CELL * PIXELS_PER_CELL for side in batch.shape[-2:])
    top = batch.shape[-2] % PIXELS_PER_CELL // 2
    left = batch.shape[-1] % PIXELS_PER_CELL // 2
    return batch[..., top : top + height, left : left + width]
