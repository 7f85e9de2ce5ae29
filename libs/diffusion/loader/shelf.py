"""Where loaded networks lie: a network is read when first used, and shared while it fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import nn

from libs.diffusion.fast.levers import Levers
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
    levers: Levers = field(default_factory=Levers)

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

        `blank` makes it without numbers, and `storage` says how its weights are kept. One in
        another form than the file's is kept beside that of other runs, never instead of it.
        """
        place = device or self.placement.device
        form = ("fast",) if self.levers.changes_network else ()
        key = (*file.key, storage, *form, part, str(place))

        def prepared() -> M:
            return self.levers.prepared(stored(load(), storage))

        return Resident(self.cache, key, prepared, place, blank)
