"""All node types: the explicit list of families and those that plug-ins bring, read once.

A plug-in is a package that names a module of node types under the entry point group
`hanzo_studio.nodes`; a new kind of diffusion network comes the same way, under
`hanzo_studio.architectures`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType, ModuleType
from typing import Any, Final

from libs.graph.schema import NodeSchema
from libs.nodes.declare import NodeType

GROUP: Final = "hanzo_studio.nodes"
FAMILIES = (
    "libs.nodes.loading",
    "libs.nodes.control",
    "libs.nodes.ip_adapter",
    "libs.nodes.styles",
    "libs.nodes.lora",
    "libs.nodes.merging",
    "libs.nodes.text",
    "libs.nodes.family_texts",
    "libs.nodes.inpainting",
    "libs.nodes.latents",
    "libs.nodes.latent_batches",
    "libs.nodes.latent_shapes",
    "libs.nodes.sampling",
    "libs.nodes.custom_sampling",
    "libs.nodes.samplers",
    "libs.nodes.schedulers",
    "libs.nodes.model_sampling",
    "libs.nodes.tiled",
    "libs.nodes.images",
    "libs.nodes.retouching",
    "libs.nodes.masks",
    "libs.nodes.saving",
    "libs.nodes.keeping",
    "libs.nodes.movies",
    "libs.nodes.upscaling",
    "libs.nodes.vision",
    "libs.nodes.video",
    "libs.nodes.motion",
    "libs.nodes.cogvideo",
    "libs.nodes.preprocessing",
    "libs.nodes.meshes",
    "libs.nodes.logic",
)


@cache
def load() -> Mapping[str, NodeType[..., Any]]:
    """Return every node type by its name, in the order of the families."""
    types: dict[str, NodeType[..., Any]] = {}
    for family in _families():
        for member in vars(family).values():
            if not isinstance(member, NodeType):
                continue
            name = member.schema.type
            if types.setdefault(name, member) is not member:
                raise TypeError(f"two functions declare the node type {name}")
    return MappingProxyType(types)


@cache
def schemas() -> Mapping[str, NodeSchema]:
    """Return every node type's schema by its name."""
    return MappingProxyType({name: found.schema for name, found in load().items()})


def _families() -> Iterator[ModuleType]:
    for family in FAMILIES:
        yield import_module(family)
    for plugged in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        yield plugged.load()
