"""Where loaded networks lie: a network is read when first used, and shared while it fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.placement import Placement
from libs.diffusion.precision import DEFAULT, stored
from libs.diffusion.residency import ModelCache, Resident

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Shelf:
    """The cache of a process, and where and in what numbers its networks are computed."""

    placement: Placement
    cache: ModelCache
    compatibility: int

    def resident(
        self,
        file: WeightsFile,
        part: str,
        load: Callable[[], M],
        *,
        blank: Callable[[], M] | None = None,
        storage: str = DEFAULT,
        device: torch.device | None = None,
    ) -> Resident[M]:
        """Return a pointer to a part of a file that `load` reads, once, onto the device.

        `blank` makes it without numbers, and `storage` says how its weights are kept.
        """
        place = device or self.placement.device
        key = (*file.key, storage, part, str(place))
        return Resident(self.cache, key, lambda: stored(load(), storage), place, blank)
