"""Nodes that draw by example: the style or the subject of a picture, beside the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from libs.core.errors import Refused
from libs.nodes.adapter_sockets import IpAdapter
from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import ClipVision, Image, Model

FOLDER: Final = "ipadapter"
# The published names of the files, by variant and by kind of model.
FILES: Final[Mapping[str, Mapping[str, str]]] = {
    "sd1": {
        "ip-adapter": "ip-adapter_sd15.safetensors",
        "ip-adapter-plus": "ip-adapter-plus_sd15.safetensors",
        "ip-adapter-face": "ip-adapter-plus-face_sd15.safetensors",
    },
    "sdxl": {
        "ip-adapter": "ip-adapter_sdxl_vit-h.safetensors",
        "ip-adapter-plus": "ip-adapter-plus_sdxl_vit-h.safetensors",
        "ip-adapter-face": "ip-adapter-plus-face_sdxl_vit-h.safetensors",
    },
}
VISION_FILES: Final[Mapping[str, str]] = {
    "vit-h": "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
    "vit-bigg": "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors",
}

Variant = Literal["ip-adapter", "ip-adapter-plus", "ip-adapter-face"]


@node(
    "IPAdapterModelLoader",
    title="Load IP-Adapter Model",
    category="loaders",
    search_aliases=("ip-adapter", "ipadapter", "image prompt"),
)
def load_ip_adapter(
    context: Context,
    *,
    ipadapter_file: Annotated[
        str, Choices(FOLDER), "The IP-Adapter, made for the kind of model that is to use it."
    ],
) -> IpAdapter:
    """Load an IP-Adapter: base, plus, plus face or full face, for Stable Diffusion or SDXL."""
    return context.loader.ip_adapter(context.weights(FOLDER, ipadapter_file))


@node("IPAdapterApply", title="Apply IP-Adapter", category="conditioning/ip_adapter")
def apply_ip_adapter(
    context: Context,
    *,
    model: Annotated[Model, "The model that is to draw by example."],
    image: Annotated[
        Image, "The example. Its middle square is looked at; several pictures count together."
    ],
    weight: Annotated[
        float,
        Widget(min=-1.0, max=3.0, step=0.05),
        "How much the example counts beside the text; 0 does not at all.",
    ] = 1.0,
    noise: Annotated[
        float,
        Widget(min=0.0, max=1.0, step=0.01),
        "How much noise what is to be avoided shows over the example; 0 avoids nothing of it.",
    ] = 0.0,
    ipadapter: Annotated[IpAdapter, "The IP-Adapter; without one the variant's own file is read."]
    | None = None,
    clip_vision: Annotated[ClipVision, "Sees the example; without one the usual file is read."]
    | None = None,
    variant: Annotated[
        Variant | None, "Which file is read if no IP-Adapter is connected: faces have their own."
    ] = "ip-adapter",
    start_at: Annotated[
        float | None,
        Widget(min=0.0, max=1.0, step=0.001),
        "Where in the course the example begins to count: 0 is the noise, 1 the picture.",
    ] = 0.0,
    end_at: Annotated[
        float | None,
        Widget(min=0.0, max=1.0, step=0.001),
        "Where in the course the example stops counting.",
    ] = 1.0,
) -> Model:
    """Let a model draw by example: in the style of a picture, or the subject that it shows."""
    if weight == 0:
        return model
    adapter = ipadapter or _own_adapter(context, model, variant or "ip-adapter")
    vision = clip_vision or _own_vision(context, adapter)
    start, end = start_at or 0.0, 1.0 if end_at is None else end_at
    return adapter.applied(model, vision, image, weight, noise, start, end)


def _own_vision(context: Context, adapter: IpAdapter) -> ClipVision:
    file = VISION_FILES[adapter.sees_by]
    return context.loader.clip_vision(context.weights("clip_vision", file))


def _own_adapter(context: Context, model: Model, variant: str) -> IpAdapter:
    files = FILES.get(model.family)
    if files is None:
        raise Refused(
            "no IP-Adapter is known for this kind of model: connect one",
            family=model.family,
            known=sorted(FILES),
        )
    return context.loader.ip_adapter(context.weights(FOLDER, files[variant]))
