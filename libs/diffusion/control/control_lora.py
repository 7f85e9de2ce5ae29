"""Control-LoRA (Stability AI 2023): a ControlNet whose encoder is its model's own, a little changed.

The file holds low-rank changes and what the model lacks; the rest is borrowed from the model that
is led, as it is then, adapters and all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.adapters.altering import unpacked
from libs.diffusion.architectures.base import LatentFormat, Shapes
from libs.diffusion.control.base import Hint
from libs.diffusion.control.unet import UnetControl, published_names
from libs.diffusion.loader.build import build
from libs.sampling.control import Call, Residuals

MARK: Final = "lora_controlnet"
UP, DOWN = ".up", ".down"
# Modules have no dots in the names of their tensors.
DOT: Final = "/"


class Loose(nn.Module):
    """The tensors of a file, kept as one."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            kept = nn.Parameter(tensor, requires_grad=False)
            self.register_parameter(name.replace(".", DOT), kept)

    def tensors(self) -> dict[str, Tensor]:
        """Return them by their names."""
        return {name.replace(DOT, "."): tensor for name, tensor in self.named_parameters()}


def detect(shapes: Shapes) -> ControlLora | None:
    """Return the sizes, None if this is no Control-LoRA."""
    if MARK not in shapes:
        return None
    whole = {
        f"{name.removesuffix(UP)}.weight": (shape[0], *shapes[name.removesuffix(UP) + DOWN][1:])
        for name, shape in shapes.items()
        if name.endswith(UP) and name.removesuffix(UP) + DOWN in shapes
    }
    try:
        return ControlLora(UnetControl.of({**shapes, **whole}))
    except KeyError as error:
        raise Refused("the Control-LoRA is not whole", missing=str(error)) from error


@dataclass(frozen=True)
class ControlLora:
    """A Control-LoRA for a UNet of one size; `inner` is the ControlNet that it becomes."""

    inner: UnetControl
    latent: LatentFormat | None = None
    types: int = 0
    extra_channels: int = 0
    multiple: int = 8
    looks_once: bool = False
    half: torch.dtype = torch.float16
    name: str = "control_lora"

    def build(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Keep the tensors until there is a model to borrow from."""
        return Loose({name: tensor for name, tensor in tensors.items() if name != MARK}).eval()

    def joined(self, loose: nn.Module, network: nn.Module) -> nn.Module:
        """Return the ControlNet over a model's network."""
        own = loose.tensors() if isinstance(loose, Loose) else {}
        lent = dict(network.named_parameters())
        blank = self.inner.blank()
        published = published_names({name.rpartition(".")[0] for name in blank})
        made = {}
        for name, shape in blank.items():
            module, _, leaf = name.rpartition(".")
            made[name] = _weight(f"{published[module]}.{leaf}", own, lent.get(name), shape)
        whole: nn.Module = build(self.inner.made, made)
        return whole

    def residuals(self, network: nn.Module, call: Call, hint: Hint, strength: float) -> Residuals:
        """Return what is to be added, as another ControlNet does."""
        return self.inner.residuals(network, call, hint, strength)


def _weight(name: str, own: Mapping[str, Tensor], lent: Tensor | None, shape: torch.Size) -> Tensor:
    """Return a tensor of the file, or the model's with the change in the file."""
    if name in own:
        return own[name].reshape(shape)
    if lent is None or lent.shape != shape:
        raise Refused("the Control-LoRA was made for another kind of model", missing=name)
    stem = name.removesuffix(".weight")
    if stem + UP not in own:
        return unpacked(lent).to(lent.dtype)
    up, down = (own[stem + end].float().flatten(1) for end in (UP, DOWN))
    return (unpacked(lent) + (up @ down).reshape(shape).to(lent.device)).to(lent.dtype)
