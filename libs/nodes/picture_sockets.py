"""What pictures, masks, videos and sounds are to nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from libs.media.frames import Pixels

if TYPE_CHECKING:
    # It takes arrays to hear it, and none to know the node types.
    from libs.media.sound import SoundWaves

ImageScaling = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
Crop = Literal["disabled", "center"]
BlendMode = Literal["normal", "multiply", "screen", "overlay", "soft_light", "difference"]
LayerMode = Literal[
    "ADD",
    "CLEAR",
    "DARKEN",
    "DST",
    "DST_ATOP",
    "DST_IN",
    "DST_OUT",
    "DST_OVER",
    "LIGHTEN",
    "MULTIPLY",
    "OVERLAY",
    "SCREEN",
    "SRC",
    "SRC_ATOP",
    "SRC_IN",
    "SRC_OUT",
    "SRC_OVER",
    "XOR",
]
Dither = Literal["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"]
Side = Literal["right", "down", "left", "up"]
SpacingColour = Literal["white", "black", "red", "green", "blue"]
Channel = Literal["red", "green", "blue", "alpha"]
MaskOperation = Literal["multiply", "add", "subtract", "and", "or", "xor"]


class Image(Protocol):
    """A batch of pictures: RGB, float32, 0 to 1."""

    @property
    def count(self) -> int:
        """How many pictures."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def height(self) -> int:
        """In pixels."""

    def frames(self) -> Sequence[Pixels]:
        """Return each picture as bytes [height, width, 3], cut off and not rounded."""

    def scaled(self, method: ImageScaling, width: int, height: int, crop: Crop) -> Image:
        """Return the pictures at another size; a side of 0 keeps the proportions."""

    def inverted(self) -> Image:
        """Return the negatives."""

    def cropped(self, x: int, y: int, width: int, height: int) -> Image:
        """Return a rectangle; it begins inside and ends where the pictures do."""

    def padded(
        self, *, left: int, top: int, right: int, bottom: int, feathering: int
    ) -> tuple[Image, Mask]:
        """Return the pictures with grey around them, and the mask of what is new."""

    def joined(self, other: Image) -> Image:
        """Return both batches as one, the other brought to this one's size."""

    def rebatched(self, others: Sequence[Image], size: int) -> list[Image]:
        """Return them and others in batches of `size`."""

    def repeated(self, times: int) -> Image:
        """Return the batch several times."""

    def part(self, first: int, length: int) -> Image:
        """Return some of the batch, at least one."""

    def flipped(self, *, upside_down: bool) -> Image:
        """Return the pictures mirrored, top to bottom or left to right."""

    def turned(self, quarters: int) -> Image:
        """Return the pictures turned clockwise."""

    def stitched(
        self, other: Image, *, side: Side, match_size: bool, spacing: int, colour: SpacingColour
    ) -> Image:
        """Return both in one picture, the other on that side."""

    def pasted(self, source: Image, x: int, y: int, mask: Mask | None, *, resize: bool) -> Image:
        """Return the pictures with others laid over them, where the mask is 1."""

    def blended(self, other: Image, mode: BlendMode, factor: float) -> Image:
        """Return a mixture of both."""

    def composited(
        self, mask: Mask, below: Image, below_mask: Mask, mode: LayerMode
    ) -> tuple[Image, Mask]:
        """Return the pictures over others, by Porter and Duff's rule; masks are 1 where empty."""

    def with_alpha(self, mask: Mask) -> Image:
        """Return the pictures with alpha: transparent where the mask is 1."""

    def split_alpha(self) -> tuple[Image, Mask]:
        """Return the colours alone, and the mask: 1 where the pictures are transparent."""

    def blurred(self, radius: int, sigma: float) -> Image:
        """Return the pictures softened."""

    def sharpened(self, radius: int, sigma: float, strength: float) -> Image:
        """Return the pictures with harder edges."""

    def quantized(self, colours: int, dither: Dither) -> Image:
        """Return each picture in its own palette."""

    def adjusted(
        self,
        *,
        brightness: float,
        contrast: float,
        saturation: float,
        hue_degrees: float,
        gamma: float,
    ) -> Image:
        """Return the pictures with other colours."""

    def channel(self, name: Channel) -> Mask:
        """Return one channel as a mask."""

    def coloured(self, colour: int) -> Mask:
        """Return 1 where the pictures have the colour 0xRRGGBB."""


class Mask(Protocol):
    """A batch of single-channel masks, float32, 0 to 1."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def height(self) -> int:
        """In pixels."""

    def as_picture(self) -> Image:
        """Return grey pictures."""

    def inverted(self) -> Mask:
        """Return what is left out."""

    def cropped(self, x: int, y: int, width: int, height: int) -> Mask:
        """Return a rectangle."""

    def combined(self, other: Mask, x: int, y: int, operation: MaskOperation) -> Mask:
        """Return it with another worked into it at x and y."""

    def feathered(self, *, left: int, top: int, right: int, bottom: int) -> Mask:
        """Return it fading out towards its edges."""

    def grown(self, pixels: int, *, tapered: bool) -> Mask:
        """Return it spread, or shrunk by a negative number of pixels."""

    def above(self, threshold: float) -> Mask:
        """Return 1 where it is larger, 0 elsewhere."""


class Video(Protocol):
    """Pictures that are shown one after the other, with or without sound."""

    @property
    def images(self) -> Image:
        """The frames."""

    @property
    def fps(self) -> float:
        """How many frames are shown a second."""

    @property
    def audio(self) -> SoundWaves | None:
        """What is heard with them."""


class Audio(Protocol):
    """Sound: samples at a rate."""

    @property
    def rate(self) -> int:
        """Samples a second."""
