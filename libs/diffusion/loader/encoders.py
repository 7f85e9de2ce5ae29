"""Text encoders out of files, put together as a family of models reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import torch

from libs.core.errors import Refused
from libs.diffusion.loader.clip_tower import build_tower
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.loader.t5_tower import build_t5
from libs.diffusion.loader.text import TowerPlace, tower_alone, towers_in, towers_in_folder
from libs.diffusion.residency import Resident
from libs.diffusion.text import reading
from libs.diffusion.text.clip import Clip, T5Tower, Tower
from libs.diffusion.text.reading import Reading
from libs.diffusion.text.t5 import T5Kind
from libs.diffusion.text.t5_network import T5Network
from libs.diffusion.text.tower import TowerKind, TowerNetwork

# What the loaders of text encoders call the families.
READINGS: Final = {
    "stable_diffusion": reading.SD1,
    "sdxl": reading.SDXL,
    "sd3": reading.SD3,
    "flux": reading.FLUX,
}

Source = tuple[WeightsFile, TowerPlace]


def clip_in(shelf: Shelf, file: WeightsFile, wanted: Reading) -> Clip:
    """Return the text encoders in a checkpoint or a folder; there may be none."""
    places = towers_in(file.shapes)
    if not places and file.configs:
        places = towers_in_folder(file.shapes, file.configs)
    return clip_of(shelf, [(file, place) for place in places], wanted)


def clip_from(
    shelf: Shelf, files: Sequence[WeightsFile], family: str, device: torch.device | None = None
) -> Clip:
    """Return text encoders that lie in files of their own, as a family reads them."""
    if family not in READINGS:
        raise Refused(
            "text encoders of this kind are not read",
            field="type",
            received=family,
            known=list(READINGS),
        )
    sources: list[Source] = []
    for file in files:
        place = tower_alone(file.shapes)
        if place is None:
            raise Refused("the file holds no text encoder of a known kind", file=file.path.name)
        sources.append((file, place))
    wanted = READINGS[family]
    if wanted is reading.SD1 and [place.name for _, place in sources] == [reading.CLIP_G]:
        wanted = reading.SDXL_REFINER
    strange = [file.path.name for file, place in sources if place.name not in wanted.kinds]
    if strange:
        raise Refused("this text encoder belongs to another kind of model", files=strange)
    return clip_of(shelf, sources, wanted, device)


def clip_alone(shelf: Shelf, file: WeightsFile, wanted: Reading) -> Clip:
    """Return the one text encoder that a model has, out of a file of its own."""
    place = tower_alone(file.shapes)
    if place is None or place.name not in wanted.kinds:
        raise Refused(
            "the file holds no text encoder of the kind that is wanted",
            file=file.path.name,
            wanted=list(wanted.kinds),
        )
    return clip_of(shelf, [(file, place)], wanted)


def clip_of(
    shelf: Shelf, sources: Sequence[Source], wanted: Reading, device: torch.device | None = None
) -> Clip:
    """Put text encoders together in the order in which the family reads them."""
    by_name = {place.name: (file, place) for file, place in sources}
    towers = tuple(
        _tower(shelf, *by_name[name], kind, device)
        for name, kind in wanted.kinds.items()
        if name in by_name
    )
    return Clip(towers, join=wanted.join)


def _tower(
    shelf: Shelf,
    file: WeightsFile,
    place: TowerPlace,
    kind: object,
    device: torch.device | None,
) -> Tower | T5Tower:
    if isinstance(kind, T5Kind):
        network: Resident[T5Network] = shelf.resident(
            file, place.prefix or place.name, lambda: build_t5(file, place), device=device
        )
        return T5Tower(kind, network, place.name)

    def load() -> TowerNetwork:
        return build_tower(place, file.read_under(place.prefix, shelf.placement.text))

    def blank() -> TowerNetwork:
        return build_tower(place, file.blank_under(place.prefix))

    tower = shelf.resident(file, place.prefix or place.name, load, blank=blank, device=device)
    return Tower(cast("TowerKind", kind), tower, place.name)
