"""What runs along the wires: the values that nodes hand to each other, seen from the nodes.

Nodes call methods on these and never look inside, so the same node runs on any engine that
brings such values, and a test passes fakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from libs.nodes.adapter_sockets import ControlNet, IpAdapter, Lora, StyleModel
from libs.nodes.courses import Guider, Noise, Sampler, SamplerName, SchedulerName, Sigmas
from libs.nodes.picture_sockets import Audio, Crop, Image, ImageScaling, Mask, Video
from libs.nodes.solids import Mesh, ShapE

if TYPE_CHECKING:
    from libs.sampling.guidance import Mix
    from libs.sampling.levels import Levels

__all__ = ["Crop", "Image", "ImageScaling", "Mask"]

SIDE_PIXELS_MAX = 16384
BATCH_MAX = 4096
SEED_MAX = 2**64 - 1
STEPS_MAX = 10_000

LatentScaling = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
# May be given what finds the decoders of tiny VAEs by their names.
Preview: TypeAlias = Callable[..., bytes]


class OnStep(Protocol):
    """Hears of each step; a preview is only drawn if somebody asks for it."""

    def __call__(self, value: int, total: int, preview: Preview | None = None) -> None:
        """Report that `value` of `total` steps are done."""


class Latent(Protocol):
    """A batch of pictures in a model's own space, unscaled between nodes."""

    @property
    def count(self) -> int:
        """How many pictures."""

    def scaled(self, method: LatentScaling, width: int, height: int, crop: Crop) -> Latent:
        """Return it at another size in pixels; a side of 0 keeps the proportions."""

    def leading(self, texts: Conditioning) -> Conditioning:
        """Return texts that a video goes on from these latents with."""

    def masked(self, mask: Mask) -> Latent:
        """Return it with the part to repaint marked."""

    def emptied(self) -> Latent:
        """Return an empty one of the same size."""

    def scaled_by(self, method: LatentScaling, factor: float) -> Latent:
        """Return it larger or smaller by a factor."""

    def batched(self, other: Latent) -> Latent:
        """Return both in one batch, the other in this size."""

    def picked(self, first: int, count: int) -> Latent:
        """Return some of the batch."""

    def repeated(self, times: int) -> Latent:
        """Return the batch several times over."""

    def rebatched(self, others: Sequence[Latent], size: int) -> list[Latent]:
        """Return it and others in batches of `size`."""

    def cropped(self, width: int, height: int, x: int, y: int) -> Latent:
        """Return a rectangle of it, given in pixels."""

    def flipped(self, *, upside_down: bool) -> Latent:
        """Return it mirrored, top to bottom or left to right."""

    def turned(self, quarters: int) -> Latent:
        """Return it turned clockwise."""

    def composed(self, other: Latent, x: int, y: int, feather: int) -> Latent:
        """Return it with another laid over, softly; all in pixels."""

    def pasted(self, source: Latent, x: int, y: int, mask: Mask | None, *, resize: bool) -> Latent:
        """Return it with another put in where the mask is white; `x` and `y` in pixels."""

    def blended(self, other: Latent, share: float) -> Latent:
        """Return `share` of it and the rest of another."""

    def interpolated(self, other: Latent, share: float) -> Latent:
        """Return a blend in which lengths do not shrink."""

    def plus(self, other: Latent, factor: float = 1.0) -> Latent:
        """Return it with `factor` times another added."""

    def multiplied(self, factor: float) -> Latent:
        """Return it times a factor."""

    def to_bytes(self, metadata: Mapping[str, str]) -> bytes:
        """Return it as a safetensors file."""


class Conditioning(Protocol):
    """Encoded texts, each with the area and the span of steps where it counts."""

    def combined(self, other: Conditioning) -> Conditioning:
        """Return both side by side."""

    def joined(self, other: Conditioning) -> Conditioning:
        """Return each text with the other's first text behind it."""

    def averaged(self, other: Conditioning, weight: float) -> Conditioning:
        """Return each text blended with the other's first, `weight` of its own."""

    def within(self, *, width: int, height: int, x: int, y: int, strength: float) -> Conditioning:
        """Return it bound to a rectangle, in pixels."""

    def within_share(
        self, *, width: float, height: float, x: float, y: float, strength: float
    ) -> Conditioning:
        """Return it bound to a rectangle, in parts of the picture's sides."""

    def weighing(self, strength: float) -> Conditioning:
        """Return it with another weight among texts that share a place."""

    def painted(self, mask: Mask, strength: float, *, bounded: bool) -> Conditioning:
        """Return it bound to what a mask marks, or to the rectangle around that."""

    def around(self, latent: Latent, mask: Mask | None = None) -> Conditioning:
        """Return it with the picture beside it that is repainted inside the mask, or followed."""

    def with_extras(self, **extras: object) -> Conditioning:
        """Return it with more beside each text."""

    def zeroed(self) -> Conditioning:
        """Return it with all numbers of all texts at zero."""

    def during(self, start: float, end: float) -> Conditioning:
        """Return it bound to a part of the steps, 0 to 1."""


class Model(Protocol):
    """A diffusion model."""

    @property
    def family(self) -> str:
        """The kind of network: `sd1`, `sdxl` and others."""

    def painting_gradually(self, strength: float) -> Model:
        """Return it painting white places of a mask from the start, grey ones only later."""

    def blended(self, other: Model, shares: Mapping[str, tuple[float, float]]) -> Model:
        """Return it with its weights blended with another's.

        Each share is of the own weight and of the other's, by how a block's name begins in
        single files; the longest beginning counts.
        """

    def sample(
        self,
        latent: Latent,
        *,
        positive: Conditioning,
        negative: Conditioning,
        seed: int,
        steps: int,
        cfg: float,
        sampler: SamplerName,
        scheduler: SchedulerName,
        denoise: float = 1.0,
        add_noise: bool = True,
        first_step: int = 0,
        last_step: int = STEPS_MAX,
        keep_noise: bool = False,
        on_step: OnStep,
    ) -> Latent:
        """Denoise towards the positive and away from the negative."""

    @property
    def levels(self) -> Levels:
        """The noise levels that it knows."""

    def with_levels(self, levels: Levels) -> Model:
        """Return it sampling at other levels, or told to predict something else."""

    def with_latents(self, kind: Literal["playground_2.5"]) -> Model:
        """Return it over latents of another scale, by the name of the model that has those."""

    def with_mix(self, mix: Mix) -> Model:
        """Return it guided in another way."""

    def freed(self, b1: float, b2: float, s1: float, s2: float, *, mapped: bool) -> Model:
        """Return it with what comes up through its UNet strengthened (FreeU)."""

    def guider(
        self, positive: Conditioning, negative: Conditioning | None = None, cfg: float = 1.0
    ) -> Guider:
        """Return it led by one text, or by two that are pushed apart."""

    def dual_guider(
        self,
        positive: Conditioning,
        middle: Conditioning,
        negative: Conditioning,
        cfg: float,
        cfg_middle: float,
        *,
        nested: bool,
    ) -> Guider:
        """Return it led from a negative to a middle text, and from there to the positive."""

    def perp_neg_guider(
        self,
        positive: Conditioning,
        negative: Conditioning,
        empty: Conditioning,
        cfg: float,
        neg_scale: float,
    ) -> Guider:
        """Return it pushed away from what of the negative is not along the positive."""

    def noised(self, latent: Latent, noise: Noise, sigmas: Sigmas) -> Latent:
        """Return a latent under as much noise as a walk over the levels takes away."""

    def guided_by_frame(self, course: Literal["rising", "triangle"], lowest: float) -> Model:
        """Return it guided more from frame to frame, or most in the middle."""


class Clip(Protocol):
    """A text encoder with its tokenizer."""

    def blended(self, other: Clip, own: float, theirs: float) -> Clip:
        """Return it with its weights blended with another's of the same sizes."""

    def encode(self, text: str) -> Conditioning:
        """Encode a text, weights and all."""

    def encode_apart(self, texts: Mapping[str, str | None]) -> Conditioning:
        """Encode a text of its own for each encoder, by name; None is no text at all."""

    def stopping_at(self, layer: int) -> Clip:
        """Return an encoder that stops `layer` (negative) from the end."""


class Vae(Protocol):
    """The way between pictures and a model's own space."""

    def decode(self, latent: Latent) -> Image:
        """Turn latents into pictures."""

    def decoding(self, latent: Latent) -> tuple[Image, Callable[[], None] | None]:
        """Turn latents into pictures, and return what makes them if they are not made yet."""

    def encode(self, image: Image) -> Latent:
        """Turn pictures into latents."""

    def beginning(self, image: Image, length: int) -> Latent:
        """Return latents of a video of so many frames that begins with a picture."""

    def decode_in_tiles(
        self,
        latent: Latent,
        tile_pixels: int,
        overlap_pixels: int,
        frames: int = 0,
        frames_overlap: int = 0,
    ) -> Image:
        """Turn latents into pictures in tiles that overlap, videos in so many frames at a time."""

    def encode_in_tiles(
        self,
        image: Image,
        tile_pixels: int,
        overlap_pixels: int,
        frames: int = 0,
        frames_overlap: int = 0,
    ) -> Latent:
        """Turn pictures into latents in tiles that overlap, videos in so many frames at a time."""

    def encode_around(self, image: Image, mask: Mask, grow_pixels: int) -> Latent:
        """Turn pictures into latents with the masked part left grey and marked to repaint."""

    def encode_hole(self, image: Image, mask: Mask) -> tuple[Latent, Latent]:
        """Turn pictures into latents twice: whole, and with the masked part left grey."""


class ClipVisionOutput(Protocol):
    """What a vision network saw in pictures."""


class ClipVision(Protocol):
    """A network that sees what a picture is of."""

    def encode(self, image: Image, crop: Literal["center", "none"]) -> ClipVisionOutput:
        """Look at pictures, cut to squares or squeezed into them."""

    def animating(
        self,
        image: Image,
        vae: Vae,
        *,
        width: int,
        height: int,
        motion_bucket_id: int,
        fps: int,
        augmentation_level: float,
    ) -> tuple[Conditioning, Conditioning]:
        """Return what a video model goes on from, and the same without the picture."""


class MotionModel(Protocol):
    """What makes a model of pictures a model of videos."""

    def applied_to(self, model: Model, context_length: int, context_overlap: int) -> Model:
        """Return the model with motion, seeing so many frames at a time."""


class UpscaleModel(Protocol):
    """A network that makes pictures larger."""

    def upscale(self, image: Image, on_step: OnStep) -> Image:
        """Return the pictures at the network's own factor."""


SOCKET_NAMES: Mapping[object, str] = {
    Model: "MODEL",
    Sigmas: "SIGMAS",
    Noise: "NOISE",
    Sampler: "SAMPLER",
    Guider: "GUIDER",
    Clip: "CLIP",
    Vae: "VAE",
    Lora: "LORA",
    ControlNet: "CONTROL_NET",
    IpAdapter: "IPADAPTER",
    StyleModel: "STYLE_MODEL",
    Conditioning: "CONDITIONING",
    Latent: "LATENT",
    Image: "IMAGE",
    Mask: "MASK",
    UpscaleModel: "UPSCALE_MODEL",
    ClipVision: "CLIP_VISION",
    ClipVisionOutput: "CLIP_VISION_OUTPUT",
    MotionModel: "MOTION_MODEL",
    Video: "VIDEO",
    Audio: "AUDIO",
    Mesh: "MESH",
    ShapE: "SHAP_E",
}
