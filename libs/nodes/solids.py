"""What runs along the wires of graphs that make solids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from libs.core.jsonvalue import JsonObject

if TYPE_CHECKING:
    from libs.nodes.picture_sockets import Image
    from libs.nodes.sockets import OnStep


class Mesh(Protocol):
    """Solids: surfaces of coloured triangles."""

    def to_glb(self, extras: JsonObject) -> Sequence[bytes]:
        """Return a GLB file for each; `extras` are told in it."""


class ShapE(Protocol):
    """A model that makes solids, out of texts or of pictures."""

    def mesh_of_text(
        self, text: str, *, seed: int, steps: int, guidance: float, cells: int, on_step: OnStep
    ) -> Mesh:
        """Return a solid that fits a text."""

    def mesh_of_picture(
        self, image: Image, *, seed: int, steps: int, guidance: float, cells: int, on_step: OnStep
    ) -> Mesh:
        """Return a solid for each picture."""
