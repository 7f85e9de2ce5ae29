"""What the engine must know of a kind of diffusion network, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from libs.diffusion.text.reading import Reading
from libs.sampling.conditioning import Entry
from libs.sampling.control import Call, Extras
from libs.sampling.levels import Levels

PREFIX: Final = "model.diffusion_model."
# In a checkpoint, and in a folder with a part for each network.
PREFIXES: Final = (PREFIX, "unet.", "transformer.")
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Settings: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class NetworkWeights:
    """The names and sizes of a diffusion network's tensors, and of all that the file holds.

    `shapes` lacks `prefix`, which checkpoints put before a network; a file that holds a network
    alone has none. Out of a diffusers folder come the class of the network, its settings and
    those of its scheduler, and the names are diffusers' own.
    """

    shapes: Shapes
    file: Shapes
    prefix: str = ""
    network_class: str = ""
    settings: Settings = field(default_factory=dict)
    schedule: Settings = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        file: Shapes,
        classes: Mapping[str, Any] | None = None,
        configs: Mapping[str, Settings] | None = None,
    ) -> NetworkWeights:
        """Find the network in a file, or in a folder with these classes and settings."""
        found = (one for one in PREFIXES if any(name.startswith(one) for name in file))
        prefix = next(found, "")
        part = prefix.removesuffix(".")
        configs = configs or {}
        return cls(
            _under(file, prefix),
            file,
            prefix,
            str((classes or {}).get(part, "")),
            configs.get(part, {}),
            configs.get("scheduler", {}),
        )


@dataclass(frozen=True)
class LatentFormat:
    """How a model's own latents differ from those between nodes: (wire - shift) * scale.

    `frames` says that latents are [count, channels, frames, height, width], and
    `frames_multiple` how many frames the network takes at a time.
    """

    channels: int
    scale: float
    shift: float = 0.0
    pixels_per_cell: int = 8
    frames: bool = False
    frames_multiple: int = 1

    def inward(self, samples: Tensor) -> Tensor:
        """Return wire latents as the network wants them."""
        return (samples - self.shift) * self.scale

    def outward(self, samples: Tensor) -> Tensor:
        """Return the network's latents as they run along wires."""
        return samples / self.scale + self.shift

    def padded(self, samples: Tensor) -> Tensor:
        """Return latents of videos with the first frame repeated to come to a whole multiple."""
        missing = -samples.shape[2] % self.frames_multiple if self.frames else 0
        return samples if not missing else torch.cat([samples[:, :, :1]] * missing + [samples], 2)

    def fitted(self, samples: Tensor) -> Tensor:
        """Return empty latents in this format's shape; others as they are.

        Graphs use one node for empty latents of all models.
        """
        if samples.count_nonzero():
            return samples
        if self.frames and samples.ndim == 4:
            samples = samples[:, :, None]
        if samples.shape[1] != self.channels:
            shape = (samples.shape[0], self.channels, *samples.shape[2:])
            samples = samples.new_zeros(shape)
        return samples


class Architecture(Protocol):
    """A kind of diffusion network, with the sizes that one file of it has."""

    @property
    def name(self) -> str:
        """The kind, as logs and fingerprints say it."""

    @property
    def latent(self) -> LatentFormat:
        """What its latents look like."""

    @property
    def levels(self) -> Levels:
        """What it predicts, and at which levels it was trained."""

    @property
    def repeats_text(self) -> bool:
        """Say whether texts of different lengths may be repeated to a common one."""

    @property
    def spatial(self) -> frozenset[str]:
        """The extras that are cut with an area."""

    @property
    def half(self) -> torch.dtype:
        """The half precision that it is computed in where a device has one."""

    def build(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Build the network from its tensors, without prefix; raise Refused if they do not fit."""

    def evaluate(self, network: nn.Module, call: Call) -> Tensor:
        """Ask the network; everything in `call` lies on its device."""

    def extras(
        self, entry: Entry, positive: bool, latent: Tensor, mask: Tensor | None = None
    ) -> Extras:
        """Return what goes to the network beside an entry's text, one or more per picture.

        `latent` is what the course starts from, scaled, and `mask` what of it may be painted.
        """

    @property
    def reading(self) -> Reading:
        """How the text encoders beside such a network are read."""


def joins_runs(architecture: Architecture) -> bool:
    """Say whether latents of different runs, at different levels, may share an evaluation.

    An architecture that says nothing of it may look from one latent to the next.
    """
    return bool(getattr(architecture, "joins_runs", False))


# Is told what the network is about to be asked.
Hears: TypeAlias = Callable[[Call], None]


class NetworkPatch(Protocol):
    """A change to how a network computes that is taken back when the course ends.

    `key` names it with its parameters: equal keys change equally.
    """

    @property
    def key(self) -> Hashable:
        """What tells it from others."""

    def inject(self, network: nn.Module) -> AbstractContextManager[Hears | None]:
        """Change the network; leaving the context restores it.

        What the context gives, if anything, hears of each evaluation before it begins.
        """


def moved(extras: Extras, device: torch.device) -> dict[str, Tensor]:
    """Return the extras on a device."""
    return {name: extra.to(device) for name, extra in extras.items()}


def _under(file: Shapes, prefix: str) -> Shapes:
    return {
        name.removeprefix(prefix): shape for name, shape in file.items() if name.startswith(prefix)
    }
