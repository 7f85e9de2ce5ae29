"""What Painter answers when all is well, and when it is not, as its document tells it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from libs.chassis.answers import Strict, Time

Status = Literal["queued", "running", "succeeded", "failed", "blocked", "cancelled"]


class Problem(Strict):
    """One thing that is wrong; `message` may be shown to a person."""

    type: str
    message: str
    details: str
    extra_info: dict[str, Any]


class ErrorBody(Strict):
    """Every error."""

    error: Problem


class Image(Strict):
    """One image of a generation."""

    index: int
    url: str
    width: int
    height: int
    seed: int
    workflow_id: str


class Usage(Strict):
    """What a generation used and cost."""

    model: str
    steps: int
    compute_ms: int
    cost_credits: float


class Settings(Strict):
    """The values in effect."""

    prompt: str
    negative_prompt: str
    model: str
    width: int
    height: int
    steps: int
    cfg_scale: float
    seed: int
    style: str
    num_images: int
    reference: Literal["adapter", "start"] | None
    control_type: Literal["canny", "depth", "pose", "scribble"] | None


class Steps(Strict):
    """How far a generation is."""

    step: int
    steps: int
    fraction: float


class Failure(Strict):
    """Why a generation made no picture."""

    type: str
    message: str


class Source(Strict):
    """The image that a generation goes on from."""

    generation_id: str
    index: int


class Generation(Strict):
    """A generation as it is now."""

    generation_id: str
    kind: Literal["generate", "vary", "upscale", "inpaint"]
    status: Status
    images: list[Image]
    usage: Usage
    settings: Settings
    created: Time
    ended: Time | None
    seconds: float | None
    place: int | None
    progress: Steps | None
    favourite: bool
    error: Failure | None
    source: Source | None
    studio_url: str


class Page(Strict):
    """Generations, newest first."""

    generations: list[Generation]
    next: str | None


class Workflow(Strict):
    """A workflow in ComfyUI's API form."""

    prompt: dict[str, Any]


class ControlMap(Strict):
    """What of a picture is followed, as it is now; `image` is where it is once it is there."""

    map_id: str
    control_type: Literal["canny", "depth", "pose", "scribble"]
    status: Status
    image: str | None
    compute_ms: int
    cost_credits: float
    error: Failure | None


class MapPrice(Strict):
    """What a new control map costs, and how many of the day's pictures it counts as."""

    cost_credits: float
    images: int


class Features(Strict):
    """What this Painter can do."""

    enhance: bool
    previews: bool
    prompt_history: bool
    image_urls: bool


class Bounds(Strict):
    """The bounds of every request."""

    prompt_characters_max: int
    num_images_max: int
    image_bytes_max: int
    seed_max: int


class Negatives(Strict):
    """What is avoided when nobody says otherwise."""

    version: str
    text: str


class Options(Strict):
    """What a page begins with."""

    auth: Literal["local", "keys"]
    signed_in: bool
    studio_url: str
    features: Features
    limits: Bounds
    control_types: list[str]
    control_map: MapPrice
    negatives: Negatives


class Ratio(Strict):
    """A shape of pictures."""

    name: str
    width: int
    height: int


class Demo(Strict):
    """What the demo model can draw."""

    shapes: list[str]
    colours: list[str]
    objects: list[str]
    scenes: list[str]
    sentences: list[str]


class Model(Strict):
    """A model, with its limits for the caller."""

    name: str
    title: str
    family: str
    available: bool
    allowed: bool
    note: str
    demo: Demo | None
    width: int
    height: int
    side_pixels_min: int
    side_pixels_max: int
    multiple: int
    ratios: list[Ratio]
    steps: int
    steps_max: int
    cfg_scale: float
    negative: bool
    num_images_max: int
    reference: Literal["adapter", "start"]
    control_types: list[str]
    control_notes: dict[str, str]
    inpaint: bool


class Models(Strict):
    """All models, usable ones first."""

    default: str | None
    models: list[Model]


class StyleLora(Strict):
    """The adapter of a style, where the fleet has it."""

    words: list[str]
    strength: float


class Style(Strict):
    """A style, with its words."""

    name: str
    title: str
    description: str
    positive: str
    negative: str
    lora: StyleLora | None


class Styles(Strict):
    """All styles."""

    styles: list[Style]


class Text(Strict):
    """A text that was typed before."""

    id: str
    prompt: str
    negative_prompt: str
    times: int
    used: Time


class Texts(Strict):
    """Texts, newest first."""

    prompts: list[Text]


class UploadForm(Strict):
    """A picture to be used as reference, control or mask."""

    image: Annotated[str, Field(json_schema_extra={"format": "binary"})]


class Upload(Strict):
    """What a body names the picture as."""

    image: str


class Enhanced(Strict):
    """A text told better."""

    prompt: str


class Alive(Strict):
    """The process lives."""

    status: Literal["ok"]


class Ready(Strict):
    """Whether pictures can be made, and what is missing."""

    ready: bool
    missing: list[str]
