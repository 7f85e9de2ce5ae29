"""The workflows that ship: each an example graph, drawn as the editor's templates are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.architectures import ARCHITECTURES
from libs.graph.drawing import drawn
from libs.graph.parse import parse
from libs.graph.schema import NodeSchema
from libs.graph.value import Graph, Link
from libs.nodes.registry import schemas

EXAMPLES: Final = Path(__file__).parent / "examples"
DEMO_FOLDER: Final = Path(__file__).parents[1] / "weights" / "demo"
# The editor shows templates of this module first, and asks for their files below /templates.
MODULE: Final = "default"
THUMBNAIL_SUFFIX: Final = "webp"
UPLOADS: Final = "input"
DEMO: Final = "hanzo_demo"
PICTURES: Final = "Pictures"
VIDEOS: Final = "Videos"
TECHNIQUES: Final = "Techniques"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A workflow to begin with; `name` is what it is called in addresses."""

    name: str
    title: str
    description: str
    kind: str
    tags: tuple[str, ...]
    architecture: str

    @property
    def path(self) -> Path:
        """Return where its graph lies, in ComfyUI's flat form."""
        if self.name == DEMO:
            return DEMO_FOLDER / "graph.json"
        if self.kind == TECHNIQUES:
            return EXAMPLES / "techniques" / f"{self.name}.json"
        return EXAMPLES / f"{self.name}.comfy.json"

    @property
    def graph(self) -> Graph:
        """Return its graph."""
        return parse(json.loads(self.path.read_text(encoding="utf-8")))


TEMPLATES: Final = (
    Template(
        name=DEMO,
        title="Demo: text to picture",
        description="The small model that comes with the house. It needs no download and no GPU.",
        kind=PICTURES,
        tags=("Text to Image", "Upscale"),
        architecture="sd1",
    ),
    Template(
        name="sd15",
        title="Stable Diffusion 1.5",
        description="A text becomes a picture of 512 by 512, on 4 GiB of GPU memory.",
        kind=PICTURES,
        tags=("Text to Image",),
        architecture="sd1",
    ),
    Template(
        name="sdxl",
        title="Stable Diffusion XL",
        description="A text becomes a picture of 1024 by 1024.",
        kind=PICTURES,
        tags=("Text to Image",),
        architecture="sdxl",
    ),
    Template(
        name="sdxl_refiner",
        title="Stable Diffusion XL with its refiner",
        description="Twenty steps by the base model, the last five by the refiner.",
        kind=PICTURES,
        tags=("Text to Image", "Refine"),
        architecture="sdxl",
    ),
    Template(
        name="sd35",
        title="Stable Diffusion 3.5",
        description="Three text encoders and a transformer make a picture of 1024 by 1024.",
        kind=PICTURES,
        tags=("Text to Image",),
        architecture="sd3",
    ),
    Template(
        name="flux_dev",
        title="Flux dev",
        description="Twenty guided steps of Flux, from files of their own for network, texts and VAE.",
        kind=PICTURES,
        tags=("Text to Image",),
        architecture="flux",
    ),
    Template(
        name="flux_schnell",
        title="Flux schnell",
        description="A picture in four steps.",
        kind=PICTURES,
        tags=("Text to Image",),
        architecture="flux",
    ),
    Template(
        name="flux_redux",
        title="Flux Redux",
        description="Flux paints in the manner of a picture of yours, beside the text.",
        kind=PICTURES,
        tags=("Image to Image", "Style Transfer"),
        architecture="flux",
    ),
    Template(
        name="svd_image_to_video",
        title="Stable Video Diffusion",
        description="A picture begins to move: 14 frames of 1024 by 576.",
        kind=VIDEOS,
        tags=("Image to Video",),
        architecture="svd",
    ),
    Template(
        name="animatediff_text_to_video",
        title="AnimateDiff: text to video",
        description="Stable Diffusion 1.5 with a motion module makes 16 frames.",
        kind=VIDEOS,
        tags=("Text to Video",),
        architecture="animatediff",
    ),
    Template(
        name="animatediff_image_to_video",
        title="AnimateDiff: picture to video",
        description="The same, beginning with a picture of yours.",
        kind=VIDEOS,
        tags=("Image to Video",),
        architecture="animatediff",
    ),
    Template(
        name="cogvideox_text_to_video",
        title="CogVideoX: text to video",
        description="Six seconds of 720 by 480 out of a text.",
        kind=VIDEOS,
        tags=("Text to Video",),
        architecture="cogvideox",
    ),
    Template(
        name="cogvideox_image_to_video",
        title="CogVideoX: picture to video",
        description="Six seconds of 720 by 480 that begin with a picture of yours.",
        kind=VIDEOS,
        tags=("Image to Video",),
        architecture="cogvideox",
    ),
    Template(
        name="two_passes",
        title="Two passes",
        description="A small picture is enlarged as a latent and painted over at twice the size.",
        kind=TECHNIQUES,
        tags=("Text to Image", "Upscale"),
        architecture="sd1",
    ),
    Template(
        name="lora_combination",
        title="Two LoRAs",
        description="Two LoRAs, each at strengths of its own for the model and for the text.",
        kind=TECHNIQUES,
        tags=("Text to Image", "LoRA"),
        architecture="sd1",
    ),
    Template(
        name="controlnet_edges",
        title="ControlNet on edges",
        description="A picture follows the edges of another one for four fifths of the steps.",
        kind=TECHNIQUES,
        tags=("Image to Image", "ControlNet"),
        architecture="sd1",
    ),
    Template(
        name="everything_in_one",
        title="Everything in one graph",
        description="LoRA, IP-Adapter, ControlNet, inpainting and an upscaler, wired together.",
        kind=TECHNIQUES,
        tags=("Image to Image", "Inpaint", "ControlNet", "LoRA", "Upscale"),
        architecture="sd1",
    ),
)
BY_NAME: Final = {template.name: template for template in TEMPLATES}
KINDS: Final = {facts.name: facts.title for facts in ARCHITECTURES}
GROUPS: Final = {
    PICTURES: ("image", "icon-[lucide--image]"),
    VIDEOS: ("video", "icon-[lucide--film]"),
    TECHNIQUES: ("image", "icon-[lucide--blocks]"),
}


@cache
def document(name: str) -> JsonObject:
    """Return a template as the editor opens it."""
    template = BY_NAME[name]
    return drawn(_without_uploads(template.graph), schemas(), note_of(template))


def index() -> list[Json]:
    """Return the templates as the editor lists them, by groups."""
    return [
        {
            "moduleName": MODULE,
            "title": group,
            "type": media,
            "category": "Workflows",
            "icon": icon,
            "isEssential": False,
            "templates": [_listed(one) for one in TEMPLATES if one.kind == group],
        }
        for group, (media, icon) in GROUPS.items()
    ]


def note_of(template: Template) -> str:
    """Return what stands beside the graph: what it does, and which files it wants where."""
    lines = [f"## {template.title}", "", template.description, ""]
    wanted = list(dict.fromkeys(_files(template.graph)))
    if template.name == DEMO:
        lines += [
            "Press **Run**. Then write another text: the model knows the words on `/page`.",
            "",
        ]
    elif wanted:
        lines += ["Files, in the workers' `models` folder:", ""]
        lines += [f"- `{folder}/{name}`" for folder, name in wanted if folder != UPLOADS]
        lines += ["", "Or choose files of your own in the loaders."]
    if any(folder == UPLOADS for folder, _ in wanted):
        lines += ["", "Give **Load Image** a picture of yours first: drop one on it."]
    return "\n".join(lines)


def _without_uploads(graph: Graph) -> Graph:
    """Return the graph with no picture chosen: whoever opens it has none of that name."""
    nodes = dict(graph.nodes)
    for node in graph.nodes.values():
        wanted = [spec.name for spec in schemas()[node.type].inputs if spec.choices == UPLOADS]
        if wanted:
            nodes[node.id] = replace(node, inputs={**node.inputs, **dict.fromkeys(wanted, "")})
    return replace(graph, nodes=nodes)


def _files(graph: Graph) -> Iterator[tuple[str, str]]:
    types: dict[str, NodeSchema] = dict(schemas())
    for node in graph.nodes.values():
        for spec in types[node.type].inputs:
            value = node.inputs.get(spec.name)
            if spec.choices and isinstance(value, str) and not isinstance(value, Link):
                yield spec.choices, value


def _listed(template: Template) -> JsonObject:
    return {
        "name": template.name,
        "title": template.title,
        "description": template.description,
        "mediaType": "image",
        "mediaSubtype": THUMBNAIL_SUFFIX,
        "tags": list(template.tags),
        "models": [KINDS[template.architecture]],
        "openSource": True,
    }
