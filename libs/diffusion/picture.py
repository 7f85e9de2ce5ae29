"""IMAGE and MASK: pictures and masks as nodes see them, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion import arranging, compositing, masking, retouching
from libs.diffusion.scaling import scale, target_size

# Of one picture; what comes from a file, or is made larger again and again, is bounded by nothing else.
PIXELS_MAX = 16384 * 16384


@dataclass(frozen=True)
class Mask:
    """MASK: one channel float32 [count, height, width], 0 to 1, on the CPU."""

    values: Tensor

    @property
    def height(self) -> int:
        """In pixels."""
        return self.values.shape[-2]

    @property
    def width(self) -> int:
        """In pixels."""
        return self.values.shape[-1]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.values.nbytes

    def as_picture(self) -> Picture:
        """Return grey pictures."""
        return Picture(self._flat[..., None].expand(-1, -1, -1, 3).clone())

    def inverted(self) -> Mask:
        """Return what is left out."""
        return Mask(1.0 - self.values)

    def cropped(self, x: int, y: int, width: int, height: int) -> Mask:
        """Return a rectangle."""
        return Mask(masking.cropped(self._flat, x, y, width, height))

    def combined(self, other: Mask, x: int, y: int, operation: str) -> Mask:
        """Return it with another worked into it."""
        return Mask(masking.combined(self._flat, other._flat, x, y, operation))

    def feathered(self, *, left: int, top: int, right: int, bottom: int) -> Mask:
        """Return it fading out towards its edges."""
        edges = {"left": left, "top": top, "right": right, "bottom": bottom}
        return Mask(masking.feathered(self._flat, **edges))

    def grown(self, pixels: int, *, tapered: bool) -> Mask:
        """Return it spread, or shrunk by a negative number of pixels."""
        return Mask(masking.grown(self._flat, pixels, tapered=tapered))

    def above(self, threshold: float) -> Mask:
        """Return 1 where it is larger, 0 elsewhere."""
        return Mask((self.values > threshold).float())

    @property
    def _flat(self) -> Tensor:
        return self.values.reshape(-1, self.height, self.width)


@dataclass(frozen=True)
class Picture:
    """IMAGE: RGB float32 [count, height, width, 3], 0 to 1, on the CPU; a fourth may be alpha."""

    pixels: Tensor

    @property
    def count(self) -> int:
        """How many pictures."""
        return self.pixels.shape[0]

    @property
    def height(self) -> int:
        """In pixels."""
        return self.pixels.shape[1]

    @property
    def width(self) -> int:
        """In pixels."""
        return self.pixels.shape[2]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.pixels.nbytes

    @property
    def colours(self) -> Tensor:
        """The pixels without alpha: models see three channels."""
        return self.pixels[..., :3]

    def frames(self) -> list[NDArray[np.uint8]]:
        """Return each picture as bytes, cut off and not rounded."""
        return [np.clip(255.0 * frame.numpy(), 0, 255).astype(np.uint8) for frame in self.pixels]

    def scaled(self, method: str, width: int, height: int, crop: str) -> Picture:
        """Return the pictures at another size; a side of 0 keeps the proportions."""
        size = target_size((self.height, self.width), width, height)
        if size[0] * size[1] > PIXELS_MAX:
            raise Refused("the picture would have too many pixels", maximum=PIXELS_MAX)
        return Picture(scale(self.pixels.movedim(-1, 1), method, size, crop).movedim(1, -1))

    def inverted(self) -> Picture:
        """Return the negatives."""
        return Picture(1.0 - self.pixels)

    def cropped(self, x: int, y: int, width: int, height: int) -> Picture:
        """Return a rectangle."""
        return Picture(arranging.cropped(self.pixels, x, y, width, height))

    def padded(
        self, *, left: int, top: int, right: int, bottom: int, feathering: int
    ) -> tuple[Picture, Mask]:
        """Return the pictures with grey around them, and the mask of what is new."""
        edges = {"left": left, "top": top, "right": right, "bottom": bottom}
        pixels, mask = arranging.padded(self.pixels, **edges, feathering=feathering)
        return Picture(pixels), Mask(mask)

    def joined(self, other: Picture) -> Picture:
        """Return both batches as one."""
        return Picture(arranging.joined(self.pixels, other.pixels))

    def rebatched(self, others: Sequence[Picture], size: int) -> list[Picture]:
        """Return them and others in batches of `size`, the last one with what is left."""
        alone = [one.part(at, 1) for one in (self, *others) for at in range(one.count)]
        batches = [alone[first : first + size] for first in range(0, len(alone), size)]
        return [reduce(Picture.joined, batch) for batch in batches]

    def repeated(self, times: int) -> Picture:
        """Return the batch several times."""
        return Picture(self.pixels.repeat(times, 1, 1, 1))

    def part(self, first: int, length: int) -> Picture:
        """Return some of the batch."""
        return Picture(arranging.part(self.pixels, first, length))

    def flipped(self, *, upside_down: bool) -> Picture:
        """Return the pictures mirrored, top to bottom or left to right."""
        return Picture(torch.flip(self.pixels, dims=[1 if upside_down else 2]))

    def turned(self, quarters: int) -> Picture:
        """Return the pictures turned clockwise."""
        return Picture(torch.rot90(self.pixels, k=quarters, dims=[2, 1]).contiguous())

    def stitched(
        self, other: Picture, *, side: arranging.Side, match_size: bool, spacing: int, colour: str
    ) -> Picture:
        """Return both side by side in one picture."""
        how = {"match_size": match_size, "spacing": spacing, "colour": colour}
        return Picture(arranging.stitched(self.pixels, other.pixels, side=side, **how))  # type: ignore[arg-type]

    def pasted(
        self, source: Picture, x: int, y: int, mask: Mask | None, *, resize: bool
    ) -> Picture:
        """Return the pictures with others laid over them."""
        below, above = compositing.as_first(self.pixels, source.pixels)
        values = mask.values if mask is not None else None
        laid = compositing.pasted(
            below.movedim(-1, 1), above.movedim(-1, 1), x, y, values, resize=resize
        )
        return Picture(laid.movedim(1, -1))

    def blended(self, other: Picture, mode: str, factor: float) -> Picture:
        """Return a mixture of both."""
        return Picture(compositing.blended(self.pixels, other.pixels, mode, factor))

    def composited(
        self, mask: Mask, below: Picture, below_mask: Mask, mode: str
    ) -> tuple[Picture, Mask]:
        """Return the pictures over others, by Porter and Duff's rule."""
        pixels, values = compositing.porter_duff(
            self.pixels, mask.values, below.pixels, below_mask.values, mode
        )
        return Picture(pixels), Mask(values)

    def with_alpha(self, mask: Mask) -> Picture:
        """Return the pictures with alpha: transparent where the mask is 1."""
        return Picture(compositing.with_alpha(self.pixels, mask.values))

    def split_alpha(self) -> tuple[Picture, Mask]:
        """Return the colours alone, and the mask: 1 where the pictures are transparent."""
        opaque = torch.ones(self.pixels.shape[:3])
        alpha = self.pixels[..., 3] if self.pixels.shape[-1] > 3 else opaque
        return Picture(self.pixels[..., :3].clone()), Mask(1.0 - alpha)

    def blurred(self, radius: int, sigma: float) -> Picture:
        """Return the pictures softened."""
        return Picture(retouching.blurred(self.pixels, radius, sigma))

    def sharpened(self, radius: int, sigma: float, strength: float) -> Picture:
        """Return the pictures with harder edges."""
        return Picture(retouching.sharpened(self.pixels, radius, sigma, strength))

    def quantized(self, colours: int, dither: str) -> Picture:
        """Return the pictures in few colours."""
        return Picture(retouching.quantized(self.pixels, colours, dither))

    def adjusted(
        self,
        *,
        brightness: float,
        contrast: float,
        saturation: float,
        hue_degrees: float,
        gamma: float,
    ) -> Picture:
        """Return the pictures with other colours."""
        how = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        colours = retouching.adjusted(self.pixels, **how, hue_degrees=hue_degrees, gamma=gamma)
        return Picture(colours)

    def channel(self, name: str) -> Mask:
        """Return one channel as a mask."""
        return Mask(arranging.channel(self.pixels, name))

    def coloured(self, colour: int) -> Mask:
        """Return 1 where the pictures have the colour 0xRRGGBB."""
        return Mask(retouching.colour_mask(self.pixels, colour))
