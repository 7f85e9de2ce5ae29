"""Which weights and uploads a graph names, and how much memory its weights ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from libs.graph.effective import effective_input
from libs.graph.reach import Reach
from libs.graph.uploads import FILE_KINDS

MIB_PER_GIB: Final = 1024
UNKNOWN_WEIGHTS_MIB: Final = 1024

ANYWHERE: Final = ""
MODELS: Final = frozenset({ANYWHERE, "checkpoints", "diffusion_models", "unet", "diffusers"})
ENCODERS: Final = frozenset({ANYWHERE, "clip", "text_encoders"})

# HIP-35's own estimates for files of these names in these folders; the first that fits counts.
# None stands for files that their own size tells more about.
VRAM_MIB: Final[tuple[tuple[str, frozenset[str], int | None], ...]] = (
    ("*", frozenset({"loras"}), 200),
    ("*", frozenset({"controlnet"}), 1536),
    ("*t5*xxl*.gguf", ENCODERS, None),
    ("*t5*xxl*fp8*", ENCODERS, 5 * MIB_PER_GIB),
    ("*t5*xxl*", ENCODERS, 10 * MIB_PER_GIB),
    ("*control*net*", frozenset({ANYWHERE}), 1536),
    ("*lora*", frozenset({ANYWHERE}), 200),
    ("*vae*", frozenset({ANYWHERE}), None),
    ("*.gguf", MODELS, None),
    ("*nf4*", MODELS, None),
    ("*sdxl*", MODELS, 6656),
    ("*sd_xl*", MODELS, 6656),
    ("*flux*dev*fp8*", MODELS, 6 * MIB_PER_GIB),
    ("*flux*dev*", MODELS, 12 * MIB_PER_GIB),
)


@dataclass(frozen=True, order=True)
class WeightsNeed:
    """A file of weights, by the folder that a node type offers it from and its name there."""

    folder: str
    name: str

    @property
    def path(self) -> str:
        """Return `folder/name`, the spelling that sizes and estimates use."""
        return f"{self.folder}/{self.name}"


def needs(reach: Reach) -> tuple[WeightsNeed, ...]:
    """Return the weights that the needed nodes name, each once, in the order of need."""
    named = _named(reach)
    found = (WeightsNeed(choices, name) for choices, name in named if choices not in FILE_KINDS)
    return tuple(dict.fromkeys(found))


def inputs_named(reach: Reach) -> tuple[str, ...]:
    """Return the uploaded files that the needed nodes name, as the client wrote them."""
    named = _named(reach)
    return tuple(dict.fromkeys(name for choices, name in named if choices == "input"))


def estimate_vram_mib(names: Sequence[str], sizes: Mapping[str, int]) -> int:
    """Return the sum of what each file asks for, in MiB.

    The documented estimate of a well-known file is a floor: a file that is larger than its
    estimate would not fit into it. Files without an estimate count with their size.
    """
    return sum(_vram_mib(name, sizes.get(name)) for name in names)


def _vram_mib(name: str, size_mib: int | None) -> int:
    estimate = documented_vram_mib(name)
    if estimate is None:
        return UNKNOWN_WEIGHTS_MIB if size_mib is None else size_mib
    return max(estimate, size_mib or 0)


def documented_vram_mib(name: str) -> int | None:
    """Return the documented estimate of a file, given as `folder/name` or as a bare name."""
    folder, _, bare = name.lower().replace("\\", "/").partition("/")
    if not bare:
        folder, bare = ANYWHERE, folder
    bare = bare.rpartition("/")[2]
    for pattern, folders, mib in VRAM_MIB:
        if folder in folders and fnmatchcase(bare, pattern):
            return mib
    return None


def _named(reach: Reach) -> Iterator[tuple[str, str]]:
    for node_id in reach.sources:
        node = reach.graph.nodes[node_id]
        schema = reach.catalogue.types.get(node.type)
        if schema is None:
            continue
        for spec in schema.inputs:
            if spec.choices is None:
                continue
            value = effective_input(node, schema, spec.name)
            if isinstance(value, str):
                yield spec.choices, value
