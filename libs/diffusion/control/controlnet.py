"""CONTROL_NET: a network that leads another one, and what it looks at."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import moved
from libs.diffusion.control.base import Hint, Kind
from libs.diffusion.control.control_lora import ControlLora
from libs.diffusion.control.union import TYPES
from libs.diffusion.placement import Placement
from libs.diffusion.residency import Resident
from libs.diffusion.scaling import scale
from libs.diffusion.vae import Vae
from libs.diffusion.values import Mask, Picture
from libs.sampling.conditioning import Conditioning
from libs.sampling.control import Call, Residuals
from libs.sampling.levels import Levels

PIXELS_PER_CELL: Final = 8
ANY_TYPE: Final = "auto"


@dataclass(frozen=True)
class ControlNet:
    """A ControlNet, and which type of hint it is told of if it knows several."""

    network: Resident[nn.Module]
    kind: Kind
    placement: Placement
    types: tuple[int, ...] = ()

    def of_type(self, name: str) -> ControlNet:
        """Return it told what its hint is; "auto" tells it nothing."""
        return replace(self, types=() if name == ANY_TYPE else (TYPES.index(name),))

    def over(self, network: Resident[nn.Module]) -> ControlNet:
        """Return the net that a Control-LoRA becomes over a model's network."""
        loose, kind = self.network, self.kind
        if not isinstance(kind, ControlLora):
            return self
        key = (loose.key, network.key, "controlnet", str(self.placement.device))
        joined = Resident(
            network.cache, key, lambda: kind.joined(loose.get(), network.get()), loose.device
        )
        return replace(self, network=joined)

    def applied(
        self,
        conditioning: Conditioning,
        image: Picture,
        strength: float,
        start: float = 0.0,
        end: float = 1.0,
        vae: Vae | None = None,
        mask: Mask | None = None,
        both_sides: bool = False,
    ) -> Conditioning:
        """Return texts that are led by the picture during a part of the steps.

        `both_sides` leads the negative as well. A strength of 0 leaves the texts as they are.
        """
        (led,) = self.applied_to_all((conditioning,), image, strength, start, end, vae, mask)
        if both_sides and led is not conditioning:
            return led.each(lambda entry: replace(entry, control_both=True))
        return led

    def applied_to_all(
        self,
        conditionings: tuple[Conditioning, ...],
        image: Picture,
        strength: float,
        start: float = 0.0,
        end: float = 1.0,
        vae: Vae | None = None,
        mask: Mask | None = None,
    ) -> tuple[Conditioning, ...]:
        """Return several led by the same picture, so that they share an evaluation."""
        if strength == 0:
            return conditionings
        if self.kind.latent is not None and vae is None:
            raise Refused("this ControlNet looks at latents: connect a VAE", kind=self.kind.name)
        pixels, kept = image.pixels[..., :3].movedim(-1, 1), None
        if mask is not None and self.kind.extra_channels:
            kept = 1.0 - mask.values[:, None]
            size = (image.height, image.width)
            pixels = pixels * scale(kept, "bilinear", size, "center").round()
        control = Lead(self, pixels, strength, start, end, vae, kept)
        return tuple(
            one.each(lambda entry: replace(entry, control=(*entry.control, control)))
            for one in conditionings
        )


@dataclass(frozen=True, eq=False)
class Lead:
    """A ControlNet with what it looks at: what entries of a conditioning carry.

    The hint is fitted to the part of the latent that is evaluated, and stays so for the next step.
    `kept` is 1 where the picture is not to be repainted.
    """

    net: ControlNet
    pixels: Tensor
    strength: float
    start: float
    end: float
    vae: Vae | None = None
    kept: Tensor | None = None
    _fitted: dict[tuple[int, ...], Tensor] = field(default_factory=dict)
    _seen: dict[tuple[int, ...], Residuals] = field(default_factory=dict)
    _over: dict[Hashable, Lead] = field(default_factory=dict)

    def over(self, network: Resident[nn.Module]) -> Lead:
        """Return it led by a net that borrows from this network, if it is of that kind.

        The same for all texts of a course, so that they share an evaluation.
        """
        if not isinstance(self.net.kind, ControlLora):
            return self
        if network.key not in self._over:
            self._over.clear()
            self._over[network.key] = replace(self, net=self.net.over(network), _over={})
        return self._over[network.key]

    def __call__(self, call: Call, levels: Levels) -> Residuals:
        """Return what is to be added, nothing outside its part of the course."""
        if not levels.sigma_at(self.end) <= call.sigma <= levels.sigma_at(self.start):
            return {}
        size = (*call.x.shape[-2:], len(call.x), len(call.positive))
        if size in self._seen:
            return self._seen[size]
        network = self.net.network.get()
        like = next(network.parameters())
        rows, columns = call.x.shape[-2:]
        hint = self._hint(rows, columns, like.device)
        placed = replace(
            call,
            x=call.x.to(hint),
            timestep=call.timestep.to(hint.device),
            context=call.context.to(hint),
            extras=moved(call.extras, hint.device),
        )
        spread = Hint(_spread(hint, len(call.x), len(call.positive)), self.net.types)
        seen = self.net.kind.residuals(network, placed, spread, self.strength)
        if self.net.kind.looks_once:
            self._seen.clear()
            self._seen[size] = seen
        return seen

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.pixels.nbytes

    def _hint(self, rows: int, columns: int, device: torch.device) -> Tensor:
        multiple = self.net.kind.multiple
        tall, wide = (-(-side * PIXELS_PER_CELL // multiple) for side in (rows, columns))
        size = (tall * multiple, wide * multiple)
        if size not in self._fitted:
            self._fitted.clear()
            self._fitted[size] = self._made(size).to(device, self.net.placement.unet)
        return self._fitted[size]

    def _made(self, size: tuple[int, int]) -> Tensor:
        hint = scale(self.pixels, "nearest-exact", size, "center")
        form = self.net.kind.latent
        if form is None or self.vae is None:
            return hint
        hint = form.inward(self.vae.encode(Picture(hint.movedim(1, -1))).samples)
        if not self.net.kind.extra_channels:
            return hint
        kept = torch.ones_like(hint[:1, :1])
        if self.kept is not None:
            cells = (hint.shape[-2], hint.shape[-1])
            kept = scale(self.kept, "nearest-exact", cells, "center")
        return torch.cat([hint, kept.to(hint).expand(len(hint), -1, -1, -1)], 1)


def _spread(hint: Tensor, count: int, entries: int) -> Tensor:
    """Return one hint per latent: the same pictures for each of the entries side by side."""
    if len(hint) == 1:
        return hint.expand(count, -1, -1, -1)
    per_entry = count // max(1, entries)
    times = -(-per_entry // len(hint))
    return hint.repeat(times, 1, 1, 1)[:per_entry].repeat(max(1, entries), 1, 1, 1)
