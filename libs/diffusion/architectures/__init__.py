"""Kinds of diffusion networks, one module each; a new kind is a module here or a plug-in.

A module says `detect(weights) -> Architecture | None`. Plug-ins are packages that name such a
module under the entry point group `hanzo_studio.architectures`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, Protocol, cast

from libs.core.errors import Refused
from libs.diffusion.architectures.base import Architecture, NetworkWeights

MODULES: Final = (
    "libs.diffusion.architectures.stable_video",
    "libs.diffusion.architectures.cogvideo",
    "libs.diffusion.architectures.stable_diffusion",
    "libs.diffusion.architectures.sd3",
    "libs.diffusion.architectures.flux",
)
GROUP: Final = "hanzo_studio.architectures"
NAMES_SHOWN: Final = 3


class ArchitectureModule(Protocol):
    """What a module of this package offers."""

    def detect(self, weights: NetworkWeights) -> Architecture | None:
        """Return the architecture if the weights are of this kind."""


def detect(weights: NetworkWeights) -> Architecture:
    """Return what kind of network the weights are; raise Refused if of none known here."""
    for module in _modules():
        found = module.detect(weights)
        if found is not None:
            return found
    raise Refused(
        "the file holds no diffusion network of a known kind",
        tensors=len(weights.shapes),
        first=sorted(weights.shapes)[:NAMES_SHOWN],
    )


def _modules() -> Iterator[ArchitectureModule]:
    for name in MODULES:
        yield cast("ArchitectureModule", import_module(name))
    for plugged in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        yield cast("ArchitectureModule", plugged.load())
