"""What must be known of a kind of ControlNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from libs.diffusion.architectures.base import LatentFormat
from libs.sampling.control import Call, Residuals


@dataclass(frozen=True, eq=False)
class Hint:
    """What a ControlNet looks at: [latents, channels, height, width], and which types it is of."""

    values: Tensor
    types: tuple[int, ...] = ()


class Kind(Protocol):
    """A kind of ControlNet, with the sizes that one file of it has."""

    @property
    def name(self) -> str:
        """The kind, as logs say it."""

    @property
    def latent(self) -> LatentFormat | None:
        """What its hints are encoded to; None if it looks at the picture itself."""

    @property
    def types(self) -> int:
        """How many types of hints it tells apart; 0 if it knows one alone."""

    @property
    def extra_channels(self) -> int:
        """How many channels it wants behind those of the hint: those of a mask."""

    def build(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Build the network from its tensors; raise Refused if they do not fit."""

    def residuals(self, network: nn.Module, call: Call, hint: Hint, strength: float) -> Residuals:
        """Return what is to be added; everything in `call` lies on the network's device."""
