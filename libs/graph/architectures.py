"""What is known of each kind of model before any file of it is opened, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from libs.core.jsonvalue import JsonObject
from libs.graph.cost import counts_steps
from libs.graph.effective import effective_input
from libs.graph.reach import Reach
from libs.graph.refusal import GraphRefused, node_problems, problem
from libs.graph.sockets import types_of
from libs.graph.walk import links_of

BYTES_PER_GB: Final = 10**9
BYTES_PER_MIB: Final = 2**20
MODEL_TYPES: Final = frozenset({"MODEL", "GUIDER"})
MODEL_FOLDERS: Final = frozenset({"checkpoints", "diffusion_models", "unet", "diffusers"})


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One kind of model; `files` are patterns of the names that its files have.

    `width` and `height` are the size that it was trained at, `side_pixels_max` the largest side
    that it paints. `unavailable` gives the reason for variants that no house can run.
    """

    name: str
    title: str
    width: int
    height: int
    vram_gb_min: int
    vram_gb_max: int | None = None
    side_pixels_max: int | None = None
    status: str = ""
    structure: str = ""
    text_encoders: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)
    lora_compatible: bool = True
    note: str = ""
    files: tuple[str, ...] = ()

    @property
    def resolution(self) -> str:
        """The size as a person reads it."""
        if self.side_pixels_max is not None:
            return f"up to {self.side_pixels_max}x{self.side_pixels_max}"
        return f"{self.width}x{self.height}"

    @property
    def vram(self) -> str:
        """The memory of a GPU as a person reads it."""
        if self.vram_gb_max is not None:
            return f"{self.vram_gb_min}-{self.vram_gb_max} GB"
        return f"{self.vram_gb_min} GB minimum"

    @property
    def vram_mib_min(self) -> int:
        """The least memory of a GPU that it runs in; cards of that name hold a little more."""
        return self.vram_gb_min * BYTES_PER_GB // BYTES_PER_MIB


ARCHITECTURES: Final[tuple[Facts, ...]] = (
    Facts(
        name="sd1",
        title="Stable Diffusion 1.5",
        width=512,
        height=512,
        vram_gb_min=4,
        status="Legacy, widely supported",
        structure="UNet",
        text_encoders=("CLIP-L",),
        variants=("text to picture", "inpainting"),
        files=("*sd15*", "*sd1.5*", "*sd_1*", "*v1-5*"),
    ),
    Facts(
        name="sdxl",
        title="Stable Diffusion XL",
        width=1024,
        height=1024,
        vram_gb_min=8,
        status="Production standard",
        structure="UNet",
        text_encoders=("CLIP-L", "CLIP-G"),
        variants=("base", "refiner", "inpainting"),
        note="The refiner is an optional second stage.",
        files=("*sdxl*", "*sd_xl*"),
    ),
    Facts(
        name="sd3",
        title="Stable Diffusion 3 and 3.5",
        width=1024,
        height=1024,
        vram_gb_min=12,
        status="Current generation",
        structure="MMDiT (Multi-Modal Diffusion Transformer)",
        text_encoders=("CLIP-L", "CLIP-G", "T5-XXL"),
        variants=("3 medium", "3.5 medium", "3.5 large"),
        files=("*sd3*", "*stable-diffusion-3*"),
    ),
    Facts(
        name="flux",
        title="Flux",
        width=1024,
        height=1024,
        side_pixels_max=2048,
        vram_gb_min=12,
        vram_gb_max=24,
        status="Current generation",
        structure="Rectified flow transformer",
        text_encoders=("CLIP-L", "T5-XXL"),
        variants=("dev", "schnell", "fill", "canny and depth"),
        unavailable={"pro": "its weights are not published; only its maker's service runs it"},
        files=("*flux*",),
    ),
    Facts(
        name="svd",
        title="Stable Video Diffusion",
        width=1024,
        height=576,
        vram_gb_min=16,
        structure="UNet over time",
        variants=("SVD, 14 frames", "SVD-XT, 25 frames"),
        lora_compatible=False,
        note="Input: a single picture. Output: 14 to 25 frames.",
        files=("*svd*", "*stable*video*"),
    ),
    Facts(
        name="animatediff",
        title="AnimateDiff",
        width=512,
        height=512,
        vram_gb_min=12,
        structure="Stable Diffusion with a motion module",
        text_encoders=("CLIP-L",),
        note="Input: a text, or a picture, with a motion module. Output: 16 to 32 frames.",
    ),
    Facts(
        name="cogvideox",
        title="CogVideoX",
        width=720,
        height=480,
        vram_gb_min=24,
        structure="Transformer over pictures and time",
        text_encoders=("T5-XXL",),
        variants=("2B", "5B", "1.5", "5B and 1.5 that begin with a picture"),
        lora_compatible=False,
        note="Input: a text. Output: up to 6 seconds.",
        files=("*cogvideo*",),
    ),
)


ANIMATED: Final = "animatediff"
BY_NAME: Final = {facts.name: facts for facts in ARCHITECTURES}
# Weights that are kept in fewer bits need less than the kind is documented to.
QUANTISED: Final = ("*.gguf", "*nf4*", "*fp8*", "*int8*", "*int4*")


def least_vram_mib(names: Iterable[str]) -> int:
    """Return the least memory that the models among files, given as `folder/name`, run in."""
    return max((facts.vram_mib_min for name in names if (facts := _limiting(name))), default=0)


def _limiting(name: str) -> Facts | None:
    folder, _, bare = name.partition("/")
    if folder == "motion":
        return BY_NAME[ANIMATED]
    quantised = any(fnmatchcase(bare.lower(), pattern) for pattern in QUANTISED)
    return facts_of(bare) if folder in MODEL_FOLDERS and not quantised else None


def facts_of(name: str) -> Facts | None:
    """Return what is known of a model by the name of its file, None if the name tells nothing."""
    bare = name.lower().replace("\\", "/").rpartition("/")[2]
    for facts in ARCHITECTURES:
        if any(fnmatchcase(bare, pattern) for pattern in facts.files):
            return facts
    return None


def require_paintable(reach: Reach) -> None:
    """Raise GraphRefused where a sampler is asked for more pixels than its model paints.

    The model is told by the name of its file; a file of another name is told when it is opened.
    """
    node_errors: JsonObject = {}
    first: JsonObject | None = None
    for node_id in reach.sources:
        for facts in _models_of(reach, node_id):
            found = _too_large(reach, node_id, facts)
            if found is not None and node_id not in node_errors:
                first = first or found
                node_errors[node_id] = node_problems(reach.graph.nodes[node_id].type, [found])
    if first is not None:
        raise GraphRefused(first, node_errors)


def _too_large(reach: Reach, node_id: str, facts: Facts) -> JsonObject | None:
    extent, limit = reach.extents.get(node_id), facts.side_pixels_max
    if extent is None or not extent.exact or limit is None:
        return None
    for name, pixels in (("width", extent.width), ("height", extent.height)):
        if pixels > limit:
            return problem(
                "resolution_beyond_model",
                f"{name} {pixels} is beyond the {limit} pixels a side that {facts.title} paints",
                name,
                field=name,
                limit=limit,
                received_value=pixels,
                node_id=node_id,
                model=facts.name,
            )
    return None


def _models_of(reach: Reach, node_id: str) -> Iterator[Facts]:
    """Yield the kinds of the models that a sampler is wired to, through whatever changes them."""
    schema = reach.catalogue.types.get(reach.graph.nodes[node_id].type)
    if schema is None or not counts_steps(schema):
        return
    waiting: list[str] = [node_id]
    seen: set[str] = set()
    while waiting:
        current = waiting.pop()
        if current in seen or current not in reach.graph.nodes:
            continue
        seen.add(current)
        yield from _named_in(reach, current)
        waiting.extend(_model_sources(reach, current))


def _model_sources(reach: Reach, node_id: str) -> Sequence[str]:
    node = reach.graph.nodes[node_id]
    schema = reach.catalogue.types.get(node.type)
    if schema is None:
        return ()
    return [
        link.node_id
        for spec, _, link in links_of(node, schema)
        if spec is not None and types_of(spec.type) & MODEL_TYPES
    ]


def _named_in(reach: Reach, node_id: str) -> Iterator[Facts]:
    node = reach.graph.nodes[node_id]
    schema = reach.catalogue.types.get(node.type)
    if schema is None:
        return
    for spec in schema.inputs:
        value = effective_input(node, schema, spec.name) if spec.choices is not None else None
        facts = facts_of(value) if isinstance(value, str) else None
        if facts is not None and spec.choices in MODEL_FOLDERS:
            yield facts
