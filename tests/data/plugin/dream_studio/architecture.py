"""A network that sees every latent as one brightness, times a learned number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from libs.diffusion.architectures.base import LatentFormat, NetworkWeights
from libs.diffusion.text import reading
from libs.diffusion.text.reading import Reading
from libs.sampling.conditioning import Entry
from libs.sampling.control import Call, Extras
from libs.sampling.levels import Chain

NAME = "dream.strength"
LEVELS = Chain("x0")
LATENT = LatentFormat(4, 0.5)


def detect(weights: NetworkWeights) -> Dream | None:
    """Return the network if the file is one of ours."""
    return Dream() if NAME in weights.shapes else None


class DreamNetwork(nn.Module):
    """A number."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))


@dataclass(frozen=True)
class Dream:
    """The kind of network."""

    name: str = "dream"
    latent: LatentFormat = LATENT
    levels: Chain = LEVELS
    repeats_text: bool = True
    spatial: frozenset[str] = frozenset()
    half: torch.dtype = torch.float16
    reading: Reading = reading.SD1

    def build(self, tensors: dict[str, Tensor]) -> DreamNetwork:
        """Build it from its tensors."""
        network = DreamNetwork()
        network.load_state_dict({"strength": tensors[NAME]})
        return network.requires_grad_(False)

    def evaluate(self, network: nn.Module, call: Call) -> Tensor:
        """Return the brightness everywhere."""
        strength: Tensor = network.get_parameter("strength")
        shown: Tensor = torch.ones_like(call.x) * call.extras["brightness"] * strength
        return shown

    def extras(
        self,
        entry: Entry,
        positive: bool,
        latent: Tensor,
        mask: Tensor | None = None,
    ) -> Extras:
        """Return the brightness that was asked for."""
        brightness: float = entry.extras.get("brightness", 0.0)
        return {"brightness": torch.full((1, 1, 1, 1), brightness)}
