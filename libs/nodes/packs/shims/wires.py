"""`comfy_api.latest.io`: types of wires and widgets, and how a class declares inputs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, StrEnum
from typing import Any, Final, TypeVar

from libs.graph.schema import ANY, COMBO

T = TypeVar("T", bound=type)


class FolderType(StrEnum):
    """Where a file lies."""

    input = "input"
    output = "output"
    temp = "temp"


class UploadType(StrEnum):
    """What a list of files offers to be uploaded; the option of that name is set."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class NumberDisplay(StrEnum):
    """How a number is shown."""

    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"
    color = "color"


class ControlAfterGenerate(StrEnum):
    """What the editor does with a value after a run."""

    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


class Input:
    """An input of a node; options that are None are left out.

    Whatever a pack says that is not known here goes into the options as it is.
    """

    io_type: str = ANY
    # Names of options there and in the older protocol.
    WORDS: Final = {
        "dynamic_prompts": "dynamicPrompts",
        "force_input": "forceInput",
        "raw_link": "rawLink",
        "display_mode": "display",
    }

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        self.id = id
        self.display_name = display_name
        self.optional = optional
        self.tooltip = tooltip
        self.lazy = lazy
        self.more = {**more, **(extra_dict or {})}

    def get_io_type(self) -> str:
        """Return the name of the type."""
        return str(self.io_type)

    def options(self) -> dict[str, Any]:
        """Return the options as the older protocol has them."""
        told = {"tooltip": self.tooltip, "lazy": self.lazy, **self.more}
        return {
            self.WORDS.get(name, name): value.value if isinstance(value, Enum) else value
            for name, value in told.items()
            if value is not None
        }

    def told(self) -> tuple[Any, dict[str, Any]]:
        """Return the input as the older protocol declares it."""
        return (self.io_type, self.options())


class WidgetInput(Input):
    """An input that is written into the node; its default comes before what it says of itself."""

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Any = None,
        **more: Any,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, lazy, default=default, **more)
        self.default = default


class Output:
    """An output of a node."""

    io_type: str = ANY

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
        **_: Any,
    ) -> None:
        self.id = id
        self.display_name = display_name
        self.tooltip = tooltip
        self.is_output_list = is_output_list

    def get_io_type(self) -> str:
        """Return the name of the type."""
        return str(self.io_type)


class ComfyTypeI:
    """A type of inputs alone."""

    Type: Any = Any
    io_type: str = ANY
    Input: Any = Input


class ComfyTypeIO(ComfyTypeI):
    """A type of wires."""

    Output: Any = Output


def comfytype(io_type: Any, **_: Any) -> Callable[[T], T]:
    """Give a class of a pack the name of its type."""

    def named(kind: T) -> T:
        known: Any = kind
        known.io_type = COMBO if isinstance(io_type, list | tuple) else str(io_type)
        for part, base in (("Input", Input), ("Output", Output)):
            own = getattr(kind, part, base)
            # A class of its own: what is inherited belongs to another type as well.
            setattr(kind, part, type(part, (own,), {"io_type": known.io_type}))
        return kind

    return named


def Custom(io_type: str) -> Any:  # noqa: N802  The name that packs call.
    """Return a type of that name."""
    return comfytype(io_type)(type(io_type, (ComfyTypeIO,), {}))


def _widget(io_type: str, value: Any) -> Any:
    return comfytype(io_type)(
        type(io_type, (ComfyTypeIO,), {"Input": WidgetInput, "Type": value}),
    )


Boolean: Final = _widget("BOOLEAN", bool)
Int: Final = _widget("INT", int)
Float: Final = _widget("FLOAT", float)
String: Final = _widget("STRING", str)
Color: Final = _widget("COLOR", str)
AnyType: Final = Custom(ANY)


class ComboInput(Input):
    """One of a list: texts, numbers, or the members of an enumeration."""

    def __init__(
        self,
        id: str,
        options: Any = None,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Any = None,
        upload: UploadType | None = None,
        **more: Any,
    ) -> None:
        # Only the picture has a folder of its own here; the others are lists of names.
        if isinstance(upload, UploadType):
            more[upload.value] = True
        super().__init__(id, display_name, optional, tooltip, lazy, **more)
        self.default = default
        self.listed = options if options is not None else []

    def options(self) -> dict[str, Any]:
        """Return the options, the list among them."""
        told = super().options()
        if self.default is not None:
            told["default"] = _plain(self.default)
        return {**told, "options": _listed(self.listed)}


@comfytype(COMBO)
class Combo(ComfyTypeIO):
    """One of a list."""

    Type = str
    Input: Any = ComboInput


def _listed(options: Any) -> Any:
    if isinstance(options, type) and issubclass(options, Enum):
        return [one.value for one in options]
    # A list of files stays what it is: it follows the folder.
    return options if isinstance(options, list) else [_plain(one) for one in options]


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


NAMES: Final = {
    "Image": "IMAGE",
    "Mask": "MASK",
    "Latent": "LATENT",
    "Conditioning": "CONDITIONING",
    "Sampler": "SAMPLER",
    "Sigmas": "SIGMAS",
    "Noise": "NOISE",
    "Guider": "GUIDER",
    "Clip": "CLIP",
    "ControlNet": "CONTROL_NET",
    "Vae": "VAE",
    "Model": "MODEL",
    "ModelPatch": "MODEL_PATCH",
    "ClipVision": "CLIP_VISION",
    "ClipVisionOutput": "CLIP_VISION_OUTPUT",
    "StyleModel": "STYLE_MODEL",
    "Gligen": "GLIGEN",
    "UpscaleModel": "UPSCALE_MODEL",
    "LatentUpscaleModel": "LATENT_UPSCALE_MODEL",
    "Audio": "AUDIO",
    "AudioEncoder": "AUDIO_ENCODER",
    "AudioEncoderOutput": "AUDIO_ENCODER_OUTPUT",
    "Video": "VIDEO",
    "SVG": "SVG",
    "LoraModel": "LORA_MODEL",
    "LossMap": "LOSS_MAP",
    "Voxel": "VOXEL",
    "Mesh": "MESH",
    "File3DAny": "FILE_3D",
    "File3DGLB": "FILE_3D_GLB",
    "File3DGLTF": "FILE_3D_GLTF",
    "File3DFBX": "FILE_3D_FBX",
    "File3DOBJ": "FILE_3D_OBJ",
    "File3DSTL": "FILE_3D_STL",
    "File3DUSDZ": "FILE_3D_USDZ",
    "Hooks": "HOOKS",
    "HookKeyframes": "HOOK_KEYFRAMES",
    "TimestepsRange": "TIMESTEPS_RANGE",
    "LatentOperation": "LATENT_OPERATION",
    "FlowControl": "FLOW_CONTROL",
    "Accumulation": "ACCUMULATION",
    "Load3D": "LOAD_3D",
    "Load3DAnimation": "LOAD_3D_ANIMATION",
    "Load3DCamera": "LOAD3D_CAMERA",
    "Photomaker": "PHOTOMAKER",
    "Point": "POINT",
    "FaceAnalysis": "FACE_ANALYSIS",
    "BBOX": "BBOX",
    "SEGS": "SEGS",
    "BoundingBox": "BOUNDING_BOX",
    "Curve": "CURVE",
    "Tracks": "TRACKS",
    "Webcam": "WEBCAM",
    "WanCameraEmbedding": "WAN_CAMERA_EMBEDDING",
    "ImageCompare": "IMAGECOMPARE",
}
WIRES: Final = {name: Custom(io_type) for name, io_type in NAMES.items()}


def types_named(types: Iterable[Any]) -> str:
    """Return several types as one name."""
    return ",".join(dict.fromkeys(str(one.io_type) for one in types)) or ANY
