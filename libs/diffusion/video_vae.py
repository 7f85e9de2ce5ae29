"""VAEs of video models: what frame stands beside which has a say in how each is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLTemporalDecoder
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.residency import Resident
from libs.diffusion.vae import Vae
from libs.diffusion.values import PIXELS_PER_CELL, Latents, Picture
from libs.sampling.sizes import whole_cells
from libs.sampling.tiles import Axis, Tiling, in_boxes

# Eight frames of 1024 x 576: about 8 GiB while they are decoded in half precision.
PIXELS_AT_ONCE: Final = 8 * 1024 * 576
# Frames decoded with their neighbours but taken from the neighbours' own piece.
MARGIN: Final = 1
# A frame of a video's latent, but for the first, is four frames of the video.
FRAMES_PER_CELL: Final = 4
VIDEO_CHANNELS: Final = 16


@dataclass(frozen=True)
class TemporalVae(Vae):
    """VAE of Stable Video Diffusion: encodes pictures, decodes frames that know each other.

    A latent's batch is one video. What is too long for the memory is decoded in pieces that
    overlap, always the same ones for a size.
    """

    network: Resident[AutoencoderKLTemporalDecoder]

    @torch.inference_mode()
    def decoded(self, samples: Tensor) -> Tensor:
        network = self.network.get()
        count = len(samples)
        frames = frames_at_once(samples.shape[-2] * samples.shape[-1] * PIXELS_PER_CELL**2)
        kept = []
        for first, last in pieces(count, frames):
            start, end = max(0, first - MARGIN), min(count, last + MARGIN)
            placed = self._placed(samples[start:end])
            seen = network.decode(placed, num_frames=end - start, return_dict=False)[0]
            kept.append(seen[first - start : last - start].float().cpu())
        return torch.cat(kept)


@dataclass(frozen=True)
class VideoVae(Vae):
    """VAE of CogVideoX: a latent's frame is four frames of the video, the first one alone.

    The network goes from piece to piece of a video by itself, and keeps what the next one needs.
    """

    network: Resident[AutoencoderKLCogVideoX]

    @torch.inference_mode()
    def decoded(self, samples: Tensor) -> Tensor:
        return _as_frames(self._video(samples))

    def _video(self, samples: Tensor) -> Tensor:
        """Return latents as videos [count, 3, frames, height, width]."""
        _require_video(samples)
        network = self.network.get()
        videos = [
            network.decode(self._placed(video), return_dict=False)[0].float().cpu()
            for video in torch.split(samples, 1)
        ]
        return torch.cat(videos)

    def encode(self, image: Picture) -> Latents:
        """Turn pictures, the frames of one video, into latents; frames too many are left out."""
        return Latents(self.encoded(_as_video(image)))

    @torch.inference_mode()
    def decode_in_tiles(
        self,
        latent: Latents,
        tile_pixels: int,
        overlap_pixels: int,
        frames: int = 64,
        frames_overlap: int = 8,
    ) -> Picture:
        """Turn latents into a video, cut in time and in space; the pieces overlap."""
        _require_video(latent.samples)
        plain = Tiling.of_latents(tile_pixels, overlap_pixels, PIXELS_PER_CELL)
        time = _time_of_latents(frames, frames_overlap, latent.samples.shape[2])
        axes = (time, *plain.axes)
        pictures = _as_frames(in_boxes(latent.samples, self._video, axes))
        return Picture(((pictures + 1.0) / 2.0).clamp(0, 1).movedim(1, -1))

    @torch.inference_mode()
    def encode_in_tiles(
        self,
        image: Picture,
        tile_pixels: int,
        overlap_pixels: int,
        frames: int = 64,
        frames_overlap: int = 8,
    ) -> Latents:
        """Turn the frames of one video into latents, cut in time and in space."""
        plain = Tiling.of_pictures(tile_pixels, overlap_pixels, PIXELS_PER_CELL)
        axes = (_time_of_frames(frames, frames_overlap), *plain.axes)
        return Latents(in_boxes(_as_video(image), self.encoded, axes))

    @torch.inference_mode()
    def encoded(self, pixels: Tensor) -> Tensor:
        """Return a video [1, 3, frames, height, width], -1 to 1, as latents, on the CPU."""
        placed = self._placed(pixels)
        latents: Tensor = self.network.get().encode(placed).latent_dist.mode().float().cpu()
        return latents

    def beginning(self, image: Picture, length: int) -> Latents:
        """Return latents of a video of `length` frames that is a picture and nothing behind it."""
        first = self.encode(Picture(image.pixels[:1])).samples
        behind = first.new_zeros((*first.shape[:2], frames_in(length) - 1, *first.shape[-2:]))
        return Latents(torch.cat([first, behind], 2))


def _time_of_latents(frames: int, overlap: int, count: int) -> Axis:
    """Return how `count` frames of a latent are cut in time: each piece is a video of its own.

    The network takes two of them at a time, and where that leaves one over, the first is one
    frame of the video alone. So pieces and what they share are odd or even as the whole is.
    """
    odd = count % 2
    tile = max(2, frames // FRAMES_PER_CELL)
    shared = max(1, min(tile // 2, overlap // FRAMES_PER_CELL))
    tile += (tile + odd) % 2
    shared = min(shared + (shared + odd) % 2, tile - 2)
    return Axis(tile, shared, _decoded_frames, lambda start: start * FRAMES_PER_CELL)


def _decoded_frames(cells: int) -> int:
    return frames_of(cells) if cells % 2 else cells * FRAMES_PER_CELL


def _time_of_frames(frames: int, overlap: int) -> Axis:
    """Return how a video is cut in time, at frames that begin a frame of the latent."""
    tile = max(2, frames_in(frames))
    shared = max(1, frames_in(overlap))
    if shared >= tile:
        raise Refused(
            "pieces of a video must overlap by less than they are long",
            field="temporal_overlap",
            received=overlap,
            temporal_size=frames,
        )
    return Axis(
        frames_of(tile), frames_of(shared), frames_in, lambda start: start // FRAMES_PER_CELL
    )


def _require_video(samples: Tensor) -> None:
    if samples.ndim != 5:
        raise Refused("this VAE decodes latents of videos", sides=list(samples.shape))


def _as_frames(videos: Tensor) -> Tensor:
    return videos.movedim(2, 1).flatten(0, 1)


def _as_video(image: Picture) -> Tensor:
    pixels: Tensor = whole_cells(image.colours.movedim(-1, 1)) * 2.0 - 1.0
    count = (len(pixels) - 1) // FRAMES_PER_CELL * FRAMES_PER_CELL + 1
    return pixels[:count].movedim(0, 1)[None]


def frames_in(length: int) -> int:
    """Return how many frames a latent has for so many frames of a video."""
    return (length - 1) // FRAMES_PER_CELL + 1


def frames_of(cells: int) -> int:
    """Return how many frames so many frames of a latent become."""
    return max(0, cells * FRAMES_PER_CELL - (FRAMES_PER_CELL - 1))


def frames_at_once(pixels: int) -> int:
    """Return how many frames of so many pixels are decoded together, margins included."""
    return max(2 * MARGIN + 1, PIXELS_AT_ONCE // pixels)


def pieces(count: int, at_once: int) -> Iterator[tuple[int, int]]:
    """Yield the first frame of each piece and the one behind its last, without margins."""
    if count <= at_once:
        yield 0, count
        return
    step = at_once - 2 * MARGIN
    for first in range(0, count, step):
        yield first, min(count, first + step)
