"""What callers hand in, to the last field; what cannot be right is refused by its name."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from libs.graph.literals import flaw_of_text

TEXT_CHARACTERS_MAX: Final = 10_000
SEED_MAX: Final = 2**53 - 1
IMAGES_MAX: Final = 4
SIDE_PIXELS: Final = (64, 16_384)
# Base64 of the largest picture that any setting allows.
PICTURE_CHARACTERS_MAX: Final = 140_000_000


def _storable(text: str) -> str:
    if found := flaw_of_text(text):
        raise ValueError(f"the text {found}")
    return text


def _has_words(text: str) -> str:
    if not text.strip():
        raise ValueError("say what the picture shows")
    return _storable(text)


Prompt = Annotated[
    str,
    Field(min_length=1, max_length=TEXT_CHARACTERS_MAX, description="What the picture shows."),
    AfterValidator(_has_words),
]
Negative = Annotated[
    str,
    Field(max_length=TEXT_CHARACTERS_MAX, description="What it should not show."),
    AfterValidator(_storable),
]
Seed = Annotated[int, Field(ge=-1, le=SEED_MAX, description="-1 draws one, and tells it.")]
Side = Annotated[int, Field(ge=SIDE_PIXELS[0], le=SIDE_PIXELS[1])]
Count = Annotated[int, Field(ge=1, le=IMAGES_MAX)]
Index = Annotated[int, Field(ge=0, lt=IMAGES_MAX, description="Which image of the generation.")]
Picture = Annotated[
    str,
    Field(
        min_length=1,
        max_length=PICTURE_CHARACTERS_MAX,
        description="A URL, base64, or what `POST /api/uploads` answered.",
    ),
]
ControlType = Literal["canny", "depth", "pose", "scribble"]


class Body(BaseModel):
    """A body of ours: JSON's own types, and no field that we do not know."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class GenerateBody(Body):
    """HIP-35's body of `POST /api/generate`."""

    prompt: Prompt
    negative_prompt: Negative | None = None
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    width: Side | None = None
    height: Side | None = None
    steps: Annotated[int, Field(ge=1, le=10_000)] | None = None
    cfg_scale: Annotated[float, Field(ge=1, le=30)] | None = None
    seed: Seed | None = None
    style: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    num_images: Count | None = None
    reference_image: Picture | None = None
    control_image: Picture | None = None
    control_type: ControlType | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> GenerateBody:
        if (self.control_image is None) != (self.control_type is None):
            raise ValueError("control_image and control_type go together")
        return self


class VaryBody(Body):
    """More pictures like one."""

    image: Index = 0
    strength: Literal["subtle", "strong"] = "subtle"
    prompt: Prompt | None = None
    seed: Seed | None = None
    num_images: Count | None = None


class UpscaleBody(Body):
    """The same picture at twice the sides."""

    image: Index = 0


class InpaintBody(Body):
    """A picture with the white part of a mask painted anew."""

    image: Index = 0
    mask: Picture
    prompt: Prompt | None = None
    seed: Seed | None = None
    num_images: Count | None = None


class MapBody(Body):
    """A picture whose edges, depths, poses or strokes are to be seen."""

    control_image: Picture
    control_type: ControlType


class EnhanceBody(Body):
    """A text to be told better."""

    prompt: Prompt
    style: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class SessionBody(Body):
    """An API key to be kept in a cookie."""

    token: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[!-~]+$")]
