"""Vision networks out of files."""

from __future__ import annotations

from libs.core.errors import Refused
from libs.diffusion.loader import vision
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.loader.vision import VisionNetwork
from libs.diffusion.vision import ClipVision


def vision_in(shelf: Shelf, file: WeightsFile) -> ClipVision:
    """Return the vision network in a file of its own, or in a checkpoint."""
    place = vision.vision_in(file.shapes)
    if place is None:
        raise Refused("the file holds no CLIP vision or SigLIP network", file=file.path.name)

    def load() -> VisionNetwork:
        names = [name for name in file.shapes if place.holds(name)]
        tensors = file.read(names, shelf.placement.text)
        named = {name.removeprefix(place.prefix): held for name, held in tensors.items()}
        return vision.build_vision(place, named)

    return ClipVision(shelf.resident(file, "clip_vision", load))
