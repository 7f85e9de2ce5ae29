"""Nodes that turn pictures into control pictures: edges, strokes, poses, depths."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from libs.core.errors import NotFound, Refused
from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import SIDE_PIXELS_MAX, Image, Mask

T = TypeVar("T")
Switch = Literal["enable", "disable"]

DEPTH_FOLDER: Final = "depth"
MIDAS_FILE: Final = "dpt-hybrid-midas.safetensors"
ZOE_FILE: Final = "zoedepth-nyu-kitti.safetensors"
# Which published model each file is, for whoever looks for it.
MIDAS_SOURCE: Final = "Intel/dpt-hybrid-midas or Intel/dpt-large"
ZOE_SOURCE: Final = "Intel/zoedepth-nyu-kitti"

_RESOLUTION: Final = 512
_LOW, _HIGH = 100, 200
_XDOG: Final = 32
_HALVINGS: Final = 3
_STEEPNESS: Final = math.pi * 2
_BACKGROUND: Final = 0.1

_LINES: Final = "ControlNet Preprocessors/Line Extractors"
_DEPTHS: Final = "ControlNet Preprocessors/Normal and Depth Estimators"
_POSES: Final = "ControlNet Preprocessors/Faces and Poses Estimators"
_OTHERS: Final = "ControlNet Preprocessors/others"

_Resolution = Annotated[
    int,
    Widget(min=64, max=SIDE_PIXELS_MAX, step=64),
    "Of the shorter side of the result, in pixels; the proportions are kept.",
]
_Threshold = Widget(min=0, max=255, step=1)
_Graded = Widget(min=0.01, max=0.99, step=0.01)
_Safe = Annotated[Switch, "Keeps a few levels of grey only, which hides faint traces."]
_Steepness = Widget(min=0.0, max=math.pi * 5, step=0.05)
_Background = Widget(min=0.0, max=1.0, step=0.05)
_MidasFile = Annotated[
    str,
    Choices(DEPTH_FOLDER),
    f"The depth network. Put model.safetensors of {MIDAS_SOURCE} into models/{DEPTH_FOLDER} "
    f"under the name {MIDAS_FILE}.",
]
_ZoeFile = Annotated[
    str,
    Choices(DEPTH_FOLDER),
    f"The depth network. Put model.safetensors of {ZOE_SOURCE} into models/{DEPTH_FOLDER} "
    f"under the name {ZOE_FILE}.",
]


@node(
    "Canny",
    title="Canny",
    category="image/preprocessors",
    search_aliases=("edge detection", "outline"),
)
def canny(
    context: Context,
    *,
    image: Image,
    low_threshold: Annotated[
        float, _Graded, "Weaker edges than this are dropped, unless they continue a strong one."
    ] = 0.4,
    high_threshold: Annotated[float, _Graded, "Edges as strong as this are always kept."] = 0.8,
) -> Image:
    """Draw the edges of pictures, white on black, after a light blur."""
    return context.loader.preprocessors.canny_graded(image, low=low_threshold, high=high_threshold)


@node("CannyEdgePreprocessor", title="Canny Edge", category=_LINES)
def canny_edge(
    context: Context,
    *,
    image: Image,
    low_threshold: Annotated[
        int, _Threshold, "Weaker edges than this are dropped, unless they continue a strong one."
    ]
    | None = _LOW,
    high_threshold: Annotated[int, _Threshold, "Edges as strong as this are always kept."]
    | None = _HIGH,
    resolution: _Resolution | None = _RESOLUTION,
) -> Image:
    """Draw the edges of pictures, white on black, for a Canny ControlNet."""
    return context.loader.preprocessors.canny(
        image,
        low=_given(low_threshold, _LOW),
        high=_given(high_threshold, _HIGH),
        resolution=_given(resolution, _RESOLUTION),
        on_step=context.step,
    )


@node("ScribblePreprocessor", title="Scribble Lines", category=_LINES)
def scribble(
    context: Context, *, image: Image, resolution: _Resolution | None = _RESOLUTION
) -> Image:
    """Turn a drawing with dark strokes on light paper into white strokes on black."""
    return context.loader.preprocessors.scribble(
        image, resolution=_given(resolution, _RESOLUTION), on_step=context.step
    )


@node("Scribble_XDoG_Preprocessor", title="Scribble XDoG Lines (aka xdog)", category=_LINES)
def scribble_photograph(
    context: Context,
    *,
    image: Image,
    threshold: Annotated[int, Widget(min=1, max=64, step=1), "Higher draws fewer strokes."]
    | None = _XDOG,
    resolution: _Resolution | None = _RESOLUTION,
) -> Image:
    """Turn a photograph into a scribble: strokes where it is darker than its surroundings."""
    return context.loader.preprocessors.scribble_photograph(
        image,
        threshold=_given(threshold, _XDOG),
        resolution=_given(resolution, _RESOLUTION),
        on_step=context.step,
    )


@node("HEDPreprocessor", title="HED Soft-Edge Lines", category=_LINES)
def soft_edges(
    context: Context,
    *,
    image: Image,
    safe: _Safe | None = "enable",
    resolution: _Resolution | None = _RESOLUTION,
) -> Image:
    """Draw the outlines of things with a network: soft, and thicker where it is surer."""
    return _soft_edges(context, image, safe, resolution, strokes_only=False)


@node("FakeScribblePreprocessor", title="Fake Scribble Lines (aka scribble_hed)", category=_LINES)
def soft_scribble(
    context: Context,
    *,
    image: Image,
    safe: _Safe | None = "enable",
    resolution: _Resolution | None = _RESOLUTION,
) -> Image:
    """Turn a photograph into a scribble: strokes of one width along the outlines of things."""
    return _soft_edges(context, image, safe, resolution, strokes_only=True)


@node("TilePreprocessor", title="Tile", category=_OTHERS)
def tile(
    context: Context,
    *,
    image: Image,
    pyrUp_iters: Annotated[  # noqa: N803  The field's name for it.
        int, Widget(min=1, max=10, step=1), "How often the picture is halved and doubled again."
    ]
    | None = _HALVINGS,
    resolution: _Resolution | None = _RESOLUTION,
) -> Image:
    """Take the details out of pictures, for a tile ControlNet to invent new ones."""
    return context.loader.preprocessors.tile(
        image,
        halvings=_given(pyrUp_iters, _HALVINGS),
        resolution=_given(resolution, _RESOLUTION),
    )


@node("InpaintPreprocessor", title="Inpaint Preprocessor", category=_OTHERS)
def inpaint(
    context: Context,
    *,
    image: Image,
    mask: Annotated[Mask, "White is to be painted anew."],
    black_pixel_for_xinsir_cn: Annotated[
        bool, "Marks with black instead of -1, for the ControlNets of xinsir."
    ]
    | None = False,
) -> Image:
    """Mark the masked pixels as missing, for an inpainting ControlNet."""
    return context.loader.preprocessors.inpaint(image, mask, black=bool(black_pixel_for_xinsir_cn))


@node("OpenposePreprocessor", title="OpenPose Pose", category=_POSES)
def poses(
    context: Context,
    *,
    image: Image,
    detect_hand: Annotated[Switch, "Makes no difference: only bodies are found, up to the wrists."]
    | None = "enable",
    detect_body: Annotated[Switch, "Without it nothing is drawn."] | None = "enable",
    detect_face: Annotated[
        Switch, "Makes no difference: of faces the nose, the eyes and the ears are found."
    ]
    | None = "enable",
    resolution: _Resolution | None = _RESOLUTION,
) -> Image:
    """Draw the skeletons of the people in pictures, in the colours of OpenPose."""
    size = _given(resolution, _RESOLUTION)
    found = context.loader.preprocessors.poses(image, resolution=size, on_step=context.step)
    if detect_body != "disable":
        return found
    return context.loader.blank_image(
        width=found.width, height=found.height, count=found.count, color=0
    )


@node("MiDaS-DepthMapPreprocessor", title="MiDaS Depth Map", category=_DEPTHS)
def midas_depth(
    context: Context,
    *,
    image: Image,
    a: Annotated[float, _Steepness, "Makes no difference to depths."] | None = _STEEPNESS,
    bg_threshold: Annotated[float, _Background, "Makes no difference to depths."]
    | None = _BACKGROUND,
    resolution: _Resolution | None = _RESOLUTION,
    model_name: _MidasFile | None = MIDAS_FILE,
) -> Image:
    """Guess how near everything in pictures is, white in front, with a MiDaS network."""
    path = _depth_file(context, model_name or MIDAS_FILE, MIDAS_SOURCE)
    return context.loader.preprocessors.depth(
        image,
        path,
        resolution=_given(resolution, _RESOLUTION),
        on_step=context.step,
    )


@node("Zoe-DepthMapPreprocessor", title="Zoe Depth Map", category=_DEPTHS)
def zoe_depth(
    context: Context,
    *,
    image: Image,
    resolution: _Resolution | None = _RESOLUTION,
    model_name: _ZoeFile | None = ZOE_FILE,
) -> Image:
    """Guess how many metres away everything in pictures is, white in front, with ZoeDepth."""
    path = _depth_file(context, model_name or ZOE_FILE, ZOE_SOURCE)
    return context.loader.preprocessors.depth(
        image,
        path,
        resolution=_given(resolution, _RESOLUTION),
        on_step=context.step,
    )


def _soft_edges(
    context: Context,
    image: Image,
    safe: Switch | None,
    resolution: int | None,
    *,
    strokes_only: bool,
) -> Image:
    return context.loader.preprocessors.soft_edges(
        image,
        safe=safe != "disable",
        strokes_only=strokes_only,
        resolution=_given(resolution, _RESOLUTION),
        on_step=context.step,
    )


def _depth_file(context: Context, name: str, source: str) -> Path:
    try:
        return context.weights(DEPTH_FOLDER, name)
    except NotFound as error:
        raise Refused(
            f"there is no models/{DEPTH_FOLDER}/{name}: put model.safetensors of {source} there "
            "under that name",
            folder=DEPTH_FOLDER,
            name=name,
        ) from error


def _given(value: T | None, default: T) -> T:
    return default if value is None else value
