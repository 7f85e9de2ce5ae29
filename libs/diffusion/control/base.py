"""What must be known of a kind of ControlNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat
from libs.sampling.control import Call, Residuals

# Marks a file whose weights are to be added to those of the model that it leads.
DIFFERENCE: Final = "difference"


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

    @property
    def multiple(self) -> int:
        """What the sides of its hints are a multiple of, in pixels."""

    @property
    def looks_once(self) -> bool:
        """Say whether it sees the hint alone, so that once is enough for a course."""

    @property
    def half(self) -> torch.dtype:
        """The half precision that it computes in where its device halves."""

    def build(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Build the network from its tensors; raise Refused if they do not fit."""

    def residuals(self, network: nn.Module, call: Call, hint: Hint, strength: float) -> Residuals:
        """Return what is to be added; everything in `call` lies on the network's device."""


def require_text(call: Call, config: Mapping[str, Any], otherwise: str) -> None:
    """Raise Refused, saying what is wrong, if texts are not as wide as a network wants them."""
    pooled = call.extras.get("pooled")
    found = (call.context.shape[-1], 0 if pooled is None else pooled.shape[-1])
    wanted = (config["joint_attention_dim"], config["pooled_projection_dim"])
    if found != wanted:
        raise Refused(otherwise, text_widths=list(found), wanted=list(wanted))
