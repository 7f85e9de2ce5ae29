"""MODEL and VAE on ONNX Runtime: the sampling is the torch engine's, the arrays are numpy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from libs.core.errors import Refused
from libs.portable.bundle import Manifest
from libs.portable.session import Sessions
from libs.portable.values import PIXELS_PER_CELL, Latents, Picture
from libs.sampling import frames
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.control import Call, Extras
from libs.sampling.guidance import Guided, Mix, linear
from libs.sampling.guider import Leading
from libs.sampling.levels import Levels
from libs.sampling.numpy_noise import NumpyNoise
from libs.sampling.run import Start
from libs.sampling.sizes import summed_up, time_ids, whole_cells
from libs.sampling.tiles import Tiling, in_tiles

Floats = NDArray[np.float32]


class OnStep(Protocol):
    """Hears of each step."""

    def __call__(self, value: int, total: int, preview: Callable[..., bytes] | None = None) -> None:
        """Report that `value` of `total` steps are done."""


@dataclass(frozen=True)
class Model(Leading):
    """MODEL: the denoiser of an exported model."""

    manifest: Manifest
    folder: Path
    sessions: Sessions
    compatibility: int
    other_levels: Levels | None = None
    mix: Mix = linear
    draw_preview: None = None

    @property
    def levels(self) -> Levels:
        """The noise levels that it knows."""
        return self.other_levels or self.manifest.levels()

    def with_levels(self, levels: Levels) -> Model:
        """Return it sampling at other levels, or told to predict something else."""
        return replace(self, other_levels=levels)

    def with_latents(self, kind: str) -> Model:
        """Refuse: an exported model brings the scale of its latents along."""
        raise Refused("the latents of an exported model are what they were", received=kind)

    def with_mix(self, mix: Mix) -> Model:
        """Return it guided in another way."""
        return replace(self, mix=mix)

    def guided_by_frame(self, course: frames.Course, lowest: float) -> Model:
        """Return it guided more from frame to frame, or most in the middle."""
        return self.with_mix(frames.by_frame(course, lowest))

    def freed(self, b1: float, b2: float, s1: float, s2: float, *, mapped: bool) -> Model:  # noqa: ARG002
        """Refuse: an exported network is one piece."""
        raise Refused("FreeU changes the inside of a network, and an exported one has none")

    @contextmanager
    def guided(
        self,
        latent: Floats,
        positive: Conditioning,
        negative: Conditioning,
        cfg: float,
        mask: Floats | None = None,  # noqa: ARG002
    ) -> Iterator[Guided]:
        """Lend a denoiser."""
        yield Guided(
            network=self._evaluate,
            levels=self.levels,
            positive=positive,
            negative=negative,
            cfg=cfg,
            extras_of=lambda entry, side: self._extras(entry, side, latent),
            mix=self.mix,
        )

    def in_cells(self, conditioning: Conditioning, latent: Floats) -> Conditioning:  # noqa: ARG002
        """Return texts as they are: none here has a mask."""
        return conditioning

    def ended(self, end: Floats, began: Latents) -> Latents:
        """Return the end of a course as a wire latent."""
        samples = end / np.float32(self.manifest.scale) + np.float32(self.manifest.shift)
        return replace(began, samples=samples.astype(np.float32))

    def start(self, latent: Latents) -> Start:
        """Return a wire latent as a course starts from it."""
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
        ids = time_ids(entry, latent, self.manifest.time_ids, positive=positive)
        return {
            "text_embeds": summed_up(entry, self.manifest.family),
            "time_ids": np.array([ids], np.float32),
        }


@dataclass(frozen=True)
class Vae:
    """VAE: the two networks between pictures and latents, one picture at a time."""

    manifest: Manifest
    folder: Path
    sessions: Sessions

    def decoding(self, latent: Latents) -> tuple[Picture, None]:
        """Turn latents into pictures; nothing is left to be made."""
        return self.decode(latent), None

    def decode(self, latent: Latents) -> Picture:
        """Turn latents into pictures."""
        return _as_picture(self._decoded(latent.samples))

    def encode(self, image: Picture) -> Latents:
        """Turn pictures into latents: the middle of what the network thinks likely."""
        return Latents(self._encoded(_as_pixels(image)))

    def decode_in_tiles(
        self,
        latent: Latents,
        tile_pixels: int,
        overlap_pixels: int,
        frames: int = 0,  # noqa: ARG002
        frames_overlap: int = 0,  # noqa: ARG002
    ) -> Picture:
        """Turn latents into pictures in tiles that overlap."""
        tiling = Tiling.of_latents(tile_pixels, overlap_pixels, PIXELS_PER_CELL)
        return _as_picture(in_tiles(latent.samples, self._decoded, tiling))

    def encode_in_tiles(
        self,
        image: Picture,
        tile_pixels: int,
        overlap_pixels: int,
        frames: int = 0,  # noqa: ARG002
        frames_overlap: int = 0,  # noqa: ARG002
    ) -> Latents:
        """Turn pictures into latents in tiles that overlap."""
        tiling = Tiling.of_pictures(tile_pixels, overlap_pixels, PIXELS_PER_CELL)
        return Latents(in_tiles(_as_pixels(image), self._encoded, tiling))

    def _decoded(self, samples: Floats) -> Floats:
        path = self.folder / self.manifest.decoder
        placed = (np.ascontiguousarray(one[None]) for one in samples)
        return np.concatenate([self.sessions.run(path, {"z": one})[0] for one in placed])

    def _encoded(self, pixels: Floats) -> Floats:
        path = self.folder / self.manifest.encoder
        placed = (np.ascontiguousarray(one[None]) for one in pixels)
        return np.concatenate([self.sessions.run(path, {"pixels": one})[0] for one in placed])


def _as_picture(decoded: Floats) -> Picture:
    pixels = np.clip((decoded + np.float32(1.0)) / np.float32(2.0), 0, 1)
    return Picture(np.moveaxis(pixels, 1, -1))


def _as_pixels(image: Picture) -> Floats:
    cut: Floats = whole_cells(np.moveaxis(image.pixels, -1, 1))
    return cut * np.float32(2.0) - np.float32(1.0)
