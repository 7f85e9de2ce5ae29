"""ControlNets: networks that look at a picture and lead another network by what they see.

A module of a kind says `detect(shapes) -> Kind | None` for the tensors of a file.
"""

from __future__ import annotations

from typing import Final

from libs.core.errors import Refused
from libs.diffusion.architectures.base import Shapes
from libs.diffusion.control import control_lora, flux, sd3, t2i_adapter, unet
from libs.diffusion.control.base import DIFFERENCE as DIFFERENCE
from libs.diffusion.control.base import Kind

MODULES: Final = (control_lora, unet, flux, sd3, t2i_adapter)
NAMES_SHOWN: Final = 3


def detect(shapes: Shapes) -> Kind:
    """Return what kind of ControlNet the tensors are; raise Refused if of none known here."""
    for module in MODULES:
        found: Kind | None = module.detect(shapes)
        if found is not None:
            return found
    raise Refused(
        "the file holds no ControlNet of a known kind",
        tensors=len(shapes),
        first=sorted(shapes)[:NAMES_SHOWN],
    )
