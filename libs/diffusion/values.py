"""Latents: the tensors that run along the wires between samplers and VAEs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion import latent_work as work
from libs.diffusion.picture import Mask as Mask  # noqa: PLC0414  Whoever works on latents needs these.
from libs.diffusion.picture import Picture as Picture  # noqa: PLC0414
from libs.diffusion.scaling import target_size
from libs.sampling.conditioning import Conditioning

LATENT_CHANNELS = 4
PIXELS_PER_CELL = 8
# A latent is not scaled below that.
SIDE_PIXELS_MIN = 64
OLD_SCALE = 0.18215


@dataclass(frozen=True)
class Latents:
    """LATENT: float32 [count, channels, height / 8, width / 8], unscaled, on the CPU.

    Those of videos are [count, channels, frames, height / 8, width / 8]. `mask` marks what a
    sampler may change; `batch_index` says which noise of a larger batch each one is given.
    """

    samples: Tensor
    mask: Mask | None = None
    batch_index: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """How many pictures."""
        return self.samples.shape[0]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.samples.nbytes + (self.mask.size_bytes if self.mask else 0)

    def scaled(self, method: str, width: int, height: int, crop: str) -> Latents:
        """Return them at another size in pixels; a side of 0 keeps the proportions."""
        rows, columns = self.samples.shape[-2:]
        pixels = (rows * PIXELS_PER_CELL, columns * PIXELS_PER_CELL)
        tall, wide = target_size(pixels, width, height)
        size = (_cells(tall), _cells(wide))
        return replace(self, samples=work.resized(self.samples, method, size, crop))

    def leading(self, texts: Conditioning) -> Conditioning:
        """Return texts that a video goes on from these latents with."""
        return texts.with_extras(first_frame=self.samples)

    def masked(self, mask: Mask) -> Latents:
        """Return them with the part to repaint marked."""
        return replace(self, mask=mask)

    def emptied(self) -> Latents:
        """Return empty ones of the same size."""
        return Latents(torch.zeros_like(self.samples))

    def scaled_by(self, method: str, factor: float) -> Latents:
        """Return them larger or smaller by a factor."""
        rows, columns = self.samples.shape[-2:]
        size = (max(1, round(rows * factor)), max(1, round(columns * factor)))
        return replace(self, samples=work.resized(self.samples, method, size, "disabled"))

    def batched(self, other: Latents) -> Latents:
        """Return both one after the other, the other in this size; each keeps its noise."""
        samples = torch.cat([self.samples, work.fitted(other.samples, self.samples)])
        return replace(self, samples=samples, batch_index=self.places + other.places)

    def picked(self, first: int, count: int) -> Latents:
        """Return some of them; each keeps the noise that it has among all."""
        first = min(self.count - 1, first)
        some = slice(first, first + min(self.count - first, count))
        return replace(
            self,
            samples=self.samples[some],
            mask=self._mask_of(some),
            batch_index=self.places[some],
        )

    def repeated(self, times: int) -> Latents:
        """Return them several times over, each with noise of its own."""
        samples = self.samples.repeat(times, *(1,) * (self.samples.ndim - 1))
        mask = self.mask
        if mask is not None and mask.values.shape[0] > 1:
            mask = Mask(work.as_many_as(mask.values, self.samples).repeat(times, 1, 1))
        index = self.batch_index
        if index is not None:
            stride = max(index) - min(index) + 1
            index = tuple(place + turn * stride for turn in range(times) for place in index)
        return replace(self, samples=samples, mask=mask, batch_index=index)

    def rebatched(self, others: Sequence[Latents], size: int) -> list[Latents]:
        """Return them and others in batches of `size`; those of other sizes stay apart."""
        offset, batches = 0, []
        waiting: Latents | None = None
        for latent in (self, *others):
            marked = latent.placed_from(offset)
            offset = max(marked.places) + 1
            if waiting is not None and waiting.samples.shape[1:] != marked.samples.shape[1:]:
                batches += waiting.cut(size)
                waiting = None
            waiting = marked if waiting is None else waiting.followed_by(marked)
        return batches + (waiting.cut(size) if waiting is not None else [])

    def placed_from(self, offset: int) -> Latents:
        """Return them with noise from places behind `offset`, unless they have places."""
        index = self.batch_index or tuple(range(offset, offset + self.count))
        return replace(self, batch_index=index)

    def followed_by(self, other: Latents) -> Latents:
        """Return both of one size one after the other, masks too."""
        mask = None
        if self.mask is not None or other.mask is not None:
            mask = Mask(torch.cat([self._whole_mask(), other._whole_mask()]))
        samples = torch.cat([self.samples, other.samples])
        return Latents(samples, mask, self.places + other.places)

    def cut(self, size: int) -> list[Latents]:
        """Return them in batches of `size`, the last one with what is left."""
        return [self.picked(first, size) for first in range(0, self.count, size)]

    def cropped(self, width: int, height: int, x: int, y: int) -> Latents:
        """Return a rectangle of them, given in pixels."""
        samples = work.cropped(
            self.samples,
            width // PIXELS_PER_CELL,
            height // PIXELS_PER_CELL,
            x // PIXELS_PER_CELL,
            y // PIXELS_PER_CELL,
        )
        return replace(self, samples=samples)

    def flipped(self, *, upside_down: bool) -> Latents:
        """Return them mirrored, top to bottom or left to right."""
        return replace(self, samples=torch.flip(self.samples, [-2 if upside_down else -1]))

    def turned(self, quarters: int) -> Latents:
        """Return them turned clockwise."""
        return replace(self, samples=work.turned(self.samples, quarters))

    def composed(self, other: Latents, x: int, y: int, feather: int) -> Latents:
        """Return them with others laid over, softly; all in pixels."""
        cells = (side // PIXELS_PER_CELL for side in (x, y, feather))
        return replace(self, samples=work.composed(self.samples, other.samples, *cells))

    def pasted(
        self, source: Latents, x: int, y: int, mask: Mask | None, *, resize: bool
    ) -> Latents:
        """Return them with others put in where the mask is white; `x` and `y` in pixels."""
        samples = work.pasted(
            self.samples,
            source.samples,
            x // PIXELS_PER_CELL,
            y // PIXELS_PER_CELL,
            mask.values if mask else None,
            resize=resize,
        )
        return replace(self, samples=samples)

    def blended(self, other: Latents, share: float) -> Latents:
        """Return `share` of them and the rest of others."""
        second = other.samples
        if second.shape != self.samples.shape:
            size = (self.samples.shape[-2], self.samples.shape[-1])
            second = work.resized(second, "bicubic", size, "center")
        return replace(self, samples=self.samples * share + second * (1 - share))

    def interpolated(self, other: Latents, share: float) -> Latents:
        """Return a blend in which lengths do not shrink as they do in a plain one."""
        samples = work.interpolated(self.samples, self._like(other), share)
        return replace(self, samples=samples)

    def plus(self, other: Latents, factor: float = 1.0) -> Latents:
        """Return them with `factor` times others added."""
        return replace(self, samples=self.samples + factor * self._like(other))

    def multiplied(self, factor: float) -> Latents:
        """Return them times a factor."""
        return replace(self, samples=self.samples * factor)

    @property
    def places(self) -> tuple[int, ...]:
        """Which noise of a larger batch each one is given."""
        return tuple(range(self.count)) if self.batch_index is None else self.batch_index

    def _whole_mask(self) -> Tensor:
        """Return a mask for each of them, white where none says otherwise, in pixels."""
        size = tuple(side * PIXELS_PER_CELL for side in self.samples.shape[-2:])
        if self.mask is None:
            return torch.ones(self.count, *size)
        values = functional.interpolate(self.mask.values[:, None], size=size, mode="bilinear")
        return work.as_many_as(values[:, 0], self.samples)

    def _like(self, other: Latents) -> Tensor:
        return work.as_many_as(work.fitted(other.samples, self.samples), self.samples)

    def _mask_of(self, some: slice) -> Mask | None:
        if self.mask is None or self.mask.values.shape[0] == 1:
            return self.mask
        return Mask(work.as_many_as(self.mask.values, self.samples)[some])

    def to_bytes(self, metadata: Mapping[str, str]) -> bytes:
        """Return them as a safetensors file that ComfyUI's loader takes."""
        tensors = {
            "latent_tensor": self.samples.contiguous(),
            # Readers take this marker's presence to mean that nothing needs to be rescaled.
            "latent_format_version_0": torch.tensor([]),
        }
        return save(tensors, dict(metadata))


def latents_from(data: bytes) -> Latents:
    """Return the latents in a file that this or ComfyUI's node saved."""
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise Refused("the latent file is damaged", reason=str(error)) from error
    samples = tensors.get("latent_tensor")
    if samples is None or samples.ndim < 4:
        raise Refused("the file holds no latents", tensors=sorted(tensors)[:4])
    # Files without the marker hold what Stable Diffusion 1 computes with.
    factor = 1.0 if "latent_format_version_0" in tensors else 1.0 / OLD_SCALE
    return Latents(samples.float() * factor)


def _cells(pixels: int) -> int:
    return max(SIDE_PIXELS_MIN, pixels) // PIXELS_PER_CELL
