"""The loader of the portable engine: exported models, and values out of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from libs.core.errors import Refused
from libs.portable import bundle
from libs.portable.clip import Clip
from libs.portable.model import Model, Vae
from libs.portable.session import Sessions
from libs.portable.values import (
    PIXELS_PER_CELL,
    Latents,
    Mask,
    Picture,
    blank_picture,
    decode_picture,
)
from libs.sampling.noise import COMPATIBILITY_REFERENCE


@dataclass(frozen=True)
class PortableLoader:
    """Makes values on numpy; networks are opened when first used, and shared while they fit.

    What only the torch engine can do is refused by name.
    """

    sessions: Sessions
    compatibility: int = COMPATIBILITY_REFERENCE

    @property
    def cache(self) -> Sessions:
        """What holds the loaded networks."""
        return self.sessions

    def checkpoint(self, path: Path) -> tuple[Model, Clip, Vae]:
        """Return the three parts of an exported model, given its manifest."""
        manifest = bundle.read(path)
        folder = path.parent
        return (
            Model(manifest, folder, self.sessions, self.compatibility),
            Clip(manifest.towers, folder, self.sessions),
            Vae(manifest, folder, self.sessions),
        )

    def picture(self, data: bytes) -> tuple[Picture, Mask]:
        """Return the picture in an image file, and the mask in its alpha channel."""
        return decode_picture(data)

    def blank_image(self, *, width: int, height: int, count: int, color: int) -> Picture:
        """Return pictures of one colour, given as 0xRRGGBB."""
        return blank_picture(width=width, height=height, count=count, color=color)

    def blank_latent(self, *, width: int, height: int, count: int) -> Latents:
        """Return empty latents for pictures of that size in pixels."""
        rows, columns = height // PIXELS_PER_CELL, width // PIXELS_PER_CELL
        return Latents(np.zeros((count, 4, rows, columns), np.float32))

    def free(self) -> None:
        """Close all networks; values that point at them open them again when used."""
        self.sessions.free()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Refused("the portable engine cannot do this; it needs the torch engine", wanted=name)
