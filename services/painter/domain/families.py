"""The kinds of models that Painter has a template for, and what each of them wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

# What shows the model an example: an IP-Adapter, Redux, or nothing; it may begin from one.
Reference = Literal["adapter", "redux", "start"]
CONTROL_TYPES: Final = ("canny", "depth", "pose", "scribble")

Ratio = tuple[str, int, int]
MEGAPIXEL: Final[tuple[Ratio, ...]] = (
    ("1:1", 1024, 1024),
    ("4:3", 1152, 896),
    ("3:4", 896, 1152),
    ("3:2", 1216, 832),
    ("2:3", 832, 1216),
    ("16:9", 1344, 768),
    ("9:16", 768, 1344),
    ("21:9", 1536, 640),
)
# For tiers and models whose sides end at 1024.
SIDE_1024: Final[tuple[Ratio, ...]] = (
    ("1:1", 1024, 1024),
    ("4:3", 1024, 768),
    ("3:4", 768, 1024),
    ("3:2", 1024, 688),
    ("2:3", 688, 1024),
    ("16:9", 1024, 576),
    ("9:16", 576, 1024),
    ("21:9", 1024, 432),
)
SMALL: Final[tuple[Ratio, ...]] = (
    ("1:1", 512, 512),
    ("4:3", 640, 480),
    ("3:4", 480, 640),
    ("3:2", 672, 448),
    ("2:3", 448, 672),
    ("16:9", 768, 432),
    ("9:16", 432, 768),
)
SQUARE: Final[tuple[Ratio, ...]] = (("1:1", 256, 256),)


@dataclass(frozen=True)
class Part:
    """A file beside the model: the node and the input that name it, and words of its name."""

    node: str
    input: str
    folder: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of model.

    `words` are alternatives: a file is of this kind if its name holds all words of one of them.
    `paints` is the side in pixels of a model that paints one size only and is enlarged.
    `control_words` tell its ControlNets by their names.
    """

    name: str
    title: str
    template: str
    words: tuple[tuple[str, ...], ...]
    loader: tuple[str, str] = ("checkpoint", "ckpt_name")
    folders: tuple[str, ...] = ("checkpoints",)
    parts: tuple[Part, ...] = ()
    width: int = 1024
    height: int = 1024
    side_pixels_max: int = 4096
    multiple: int = 8
    steps: int = 30
    cfg_scale: float = 7.0
    distilled: bool = False
    paints: int = 0
    negative: str | None = None
    reference: Reference = "start"
    adapter_words: tuple[str, ...] = ()
    control_words: tuple[str, ...] = ()
    control_takes_vae: bool = False
    ratios: tuple[Ratio, ...] = field(default=MEGAPIXEL)


_T5: Final = ("t5xxl",)
_FLUX: Final = (
    Part("clip", "clip_name1", "text_encoders", _T5),
    Part("clip", "clip_name2", "text_encoders", ("clip_l",)),
    Part("vae", "vae_name", "vae", ("ae",)),
)
# A file of these names is of the kind, but cannot paint by itself.
NOT_PLAIN: Final = ("inpaint", "refiner", "fill", "canny", "depth", "redux", "kontext", "vae")

FAMILIES: Final[tuple[Family, ...]] = (
    Family(
        name="flux-schnell",
        title="Flux schnell",
        template="flux_schnell",
        words=(("flux", "schnell"),),
        loader=("model", "unet_name"),
        folders=("diffusion_models", "checkpoints"),
        parts=_FLUX,
        side_pixels_max=2048,
        multiple=16,
        steps=4,
        cfg_scale=1.0,
        distilled=True,
        reference="redux",
        control_words=("flux",),
        control_takes_vae=True,
    ),
    Family(
        name="flux-dev",
        title="Flux dev",
        template="flux_dev",
        words=(("flux", "dev"),),
        loader=("model", "unet_name"),
        folders=("diffusion_models", "checkpoints"),
        parts=_FLUX,
        side_pixels_max=2048,
        multiple=16,
        cfg_scale=1.0,
        distilled=True,
        reference="redux",
        control_words=("flux",),
        control_takes_vae=True,
    ),
    Family(
        name="sdxl",
        title="Stable Diffusion XL",
        template="sdxl",
        words=(("sdxl",), ("sd_xl",)),
        reference="adapter",
        adapter_words=("sdxl",),
        control_words=("sdxl", "xl"),
    ),
    Family(
        name="sd3.5",
        title="Stable Diffusion 3.5",
        template="sd35",
        words=(("sd3",), ("stable-diffusion-3",)),
        parts=(
            Part("clip", "clip_name1", "text_encoders", ("clip_l",)),
            Part("clip", "clip_name2", "text_encoders", ("clip_g",)),
            Part("clip", "clip_name3", "text_encoders", _T5),
        ),
        multiple=16,
        control_words=("sd3",),
        control_takes_vae=True,
        side_pixels_max=2048,
    ),
    Family(
        name="sd1.5",
        title="Stable Diffusion 1.5",
        template="sd15",
        words=(("sd15",), ("sd1.5",), ("sd_1",), ("v1-5",)),
        width=512,
        height=512,
        side_pixels_max=2048,
        reference="adapter",
        adapter_words=("sd15",),
        control_words=("sd15", "sd1.5"),
        ratios=SMALL,
    ),
    Family(
        name="demo",
        title="Hanzo demo",
        template="demo",
        words=(("hanzo-demo",),),
        parts=(Part("upscaler", "model_name", "upscale", ("realesr-animevideov3",)),),
        width=256,
        height=256,
        side_pixels_max=1024,
        steps=24,
        cfg_scale=4.5,
        paints=64,
        # It learned from few words; those of the quality negatives are none of them.
        negative="",
        ratios=SQUARE,
    ),
)
BY_NAME: Final[Mapping[str, Family]] = {family.name: family for family in FAMILIES}
CONTROL_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "canny": ("canny",),
    "depth": ("depth",),
    "pose": ("pose",),
    "scribble": ("scribble", "sketch"),
}
UNION_WORDS: Final = ("union", "promax")
UNION_TYPES: Final[Mapping[str, str]] = {
    "canny": "canny/lineart/anime_lineart/mlsd",
    "depth": "depth",
    "pose": "openpose",
    "scribble": "hed/pidi/scribble/ted",
}


def kind_of(file: str, size_bytes: int = 0) -> Family | None:
    """Return the kind of a model file: by its name, else by the size that such files have."""
    bare = file.lower().replace("\\", "/").rpartition("/")[2]
    if any(word in bare for word in NOT_PLAIN):
        return None
    for family in FAMILIES:
        if any(all(word in bare for word in words) for words in family.words):
            return family
    return _by_size(size_bytes)


GIB: Final = 1 << 30


def _by_size(size_bytes: int) -> Family | None:
    """Tell whole checkpoints apart that were named after what they paint."""
    if 1.5 * GIB < size_bytes < 5.5 * GIB:
        return BY_NAME["sd1.5"]
    return BY_NAME["sdxl"] if 5.5 * GIB <= size_bytes < 7.5 * GIB else None
