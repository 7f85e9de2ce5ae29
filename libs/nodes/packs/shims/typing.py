"""`comfy.comfy_types`: names of types, for classes that are written with annotations."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

InputTypeDict: TypeAlias = dict[str, Any]
InputTypeOptions: TypeAlias = dict[str, Any]
HiddenInputTypeDict: TypeAlias = dict[str, str]


class IO(StrEnum):
    """The types of wires and widgets."""

    STRING = "STRING"
    IMAGE = "IMAGE"
    MASK = "MASK"
    LATENT = "LATENT"
    BOOLEAN = "BOOLEAN"
    INT = "INT"
    FLOAT = "FLOAT"
    COMBO = "COMBO"
    CONDITIONING = "CONDITIONING"
    SAMPLER = "SAMPLER"
    SIGMAS = "SIGMAS"
    GUIDER = "GUIDER"
    NOISE = "NOISE"
    CLIP = "CLIP"
    CONTROL_NET = "CONTROL_NET"
    VAE = "VAE"
    MODEL = "MODEL"
    LORA_MODEL = "LORA_MODEL"
    CLIP_VISION = "CLIP_VISION"
    CLIP_VISION_OUTPUT = "CLIP_VISION_OUTPUT"
    STYLE_MODEL = "STYLE_MODEL"
    GLIGEN = "GLIGEN"
    UPSCALE_MODEL = "UPSCALE_MODEL"
    AUDIO = "AUDIO"
    VIDEO = "VIDEO"
    WEBCAM = "WEBCAM"
    POINT = "POINT"
    FACE_ANALYSIS = "FACE_ANALYSIS"
    BBOX = "BBOX"
    SEGS = "SEGS"
    PRIMITIVE = "STRING,FLOAT,INT,BOOLEAN"
    NUMBER = "FLOAT,INT"
    ANY = "*"


class ComfyNodeABC:
    """What a class may inherit from; nothing comes with it."""

    DESCRIPTION = ""
    CATEGORY = ""
    EXPERIMENTAL = False
    DEPRECATED = False


class CheckLazyMixin:
    """Asks for every lazy input that is not there yet."""

    def check_lazy_status(self, **kwargs: Any) -> list[str]:
        """Return the names of the inputs that are None."""
        return [name for name, value in kwargs.items() if value is None]


class FileLocator(dict[str, str]):
    """A file that a node shows."""
