"""IPADAPTER: a network that lets a model draw by example, and the change that it makes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import Hears
from libs.diffusion.ip_adapter.network import IpNetwork, require_fitting, text_layers
from libs.diffusion.ip_adapter.projection import attended
from libs.diffusion.model import Model
from libs.diffusion.residency import Resident
from libs.diffusion.values import Picture
from libs.diffusion.vision import ClipVision
from libs.sampling.control import Call

NOISE_SEED: Final = 0
# The widths of what ViT-bigG says of a picture, and of its patches.
BIG_G_WIDTHS: Final = (1280, 1664)


@dataclass(frozen=True)
class IpAdapter:
    """An IP-Adapter's network."""

    network: Resident[IpNetwork]

    @property
    def sees_by(self) -> str:
        """The size of the CLIP vision network that it was made for: vit-h or vit-bigg."""
        patches = bool(self.network.outline().image_proj.sees_patches)
        return "vit-bigg" if self._width() == BIG_G_WIDTHS[patches] else "vit-h"

    def applied(
        self,
        model: Model,
        clip_vision: ClipVision,
        image: Picture,
        weight: float,
        noise: float,
        start: float = 0.0,
        end: float = 1.0,
    ) -> Model:
        """Return the model drawing by example in a part of the course; without weight as it is.

        `noise` is how much of the example is drowned in noise for the negative side to see.
        """
        if weight == 0:
            return model
        require_fitting(self.network.outline(), model.network.outline())
        seen = self._seen(clip_vision, image, noise)
        levels = model.levels
        example = Example(
            self, *seen, weight, first=levels.sigma_at(start), last=levels.sigma_at(end)
        )
        return model.patched(example)

    @torch.inference_mode()
    def _seen(self, vision: ClipVision, image: Picture, noise: float) -> tuple[Tensor, Tensor]:
        """Return what is seen in the example on the positive and on the negative side."""
        patches = bool(self.network.outline().image_proj.sees_patches)
        positive = _states(vision, image, patches)
        wanted = self._width()
        if positive.shape[-1] != wanted:
            raise Refused(
                "the IP-Adapter was made for another vision network",
                width=positive.shape[-1],
                wanted=wanted,
            )
        if noise > 0:
            generator = torch.Generator().manual_seed(NOISE_SEED)
            drowned = torch.rand(image.pixels.shape, generator=generator)
            blend = image.pixels * (1.0 - noise) + drowned * noise
            return positive, _states(vision, Picture(blend), patches)
        if not patches:
            return positive, torch.zeros_like(positive)
        return positive, _states_of_nothing(vision).expand_as(positive)

    def _width(self) -> int:
        projection = self.network.outline().image_proj
        layer = next(one for one in projection.modules() if isinstance(one, nn.Linear))
        named = getattr(projection, "proj_in", layer)
        return int(named.in_features)


@dataclass(frozen=True, eq=False)
class Example:
    """What a model draws by: a change to its network that is taken back."""

    adapter: IpAdapter
    positive: Tensor
    negative: Tensor
    weight: float
    first: float
    last: float

    @property
    def key(self) -> Hashable:
        """What tells it from others."""
        return "ip_adapter", id(self)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.positive.nbytes + self.negative.nbytes

    @contextmanager
    def inject(self, network: nn.Module) -> Iterator[Hears]:
        """Let each layer that attends to the text attend to the example as well."""
        ours = self.adapter.network.get()
        tokens = [ours.tokens(seen) for seen in (self.negative, self.positive)]
        present = Presence()
        with ExitStack() as stack:
            for attention, layer in zip(text_layers(network), ours.ip_adapter, strict=True):
                known = Known(
                    present, self.weight, attention, [_pair(layer, one) for one in tokens]
                )
                for handle in known.hooks():
                    stack.callback(handle.remove)

            def hear(call: Call) -> None:
                present.sides = call.positive or (True,)
                present.counts = self.last <= call.sigma <= self.first

            yield hear


@dataclass
class Presence:
    """Which side each entry of the present evaluation is on, and whether the example counts."""

    sides: tuple[bool, ...] = ()
    counts: bool = False


@dataclass(eq=False)
class Known:
    """What one layer knows of the example: keys and values of the negative and positive side."""

    present: Presence
    weight: float
    attention: Any
    pairs: list[tuple[Tensor, Tensor]]
    _query: Tensor | None = field(default=None)

    def hooks(self) -> Iterator[torch.utils.hooks.RemovableHandle]:
        """Hear the layer's questions, and add to its answers before they are mixed."""
        yield self.attention.to_q.register_forward_hook(self._asked)
        yield self.attention.to_out[0].register_forward_pre_hook(self._answered)

    def _asked(self, _module: nn.Module, _given: Any, query: Tensor) -> None:
        self._query = query

    def _answered(self, _module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor] | None:
        query, self._query = self._query, None
        if query is None or not self.present.counts:
            return None
        per_entry = len(query) // len(self.present.sides)
        added = [
            self._answer(query[at * per_entry : (at + 1) * per_entry], positive)
            for at, positive in enumerate(self.present.sides)
        ]
        return (given[0] + self.weight * torch.cat(added),)

    def _answer(self, query: Tensor, positive: bool) -> Tensor:
        key, value = (one.to(query).expand(len(query), -1, -1) for one in self.pairs[positive])
        return attended(query, key, value, self.attention.heads)


def _pair(layer: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    return layer.get_submodule("to_k_ip")(tokens), layer.get_submodule("to_v_ip")(tokens)


def _states(vision: ClipVision, image: Picture, patches: bool) -> Tensor:
    seen = vision.encode(image)
    return seen.penultimate if patches else seen.embeds


def _states_of_nothing(vision: ClipVision) -> Tensor:
    """Return what is seen in a picture of the mean colour everywhere."""
    network = vision.network.get()
    side = network.config.image_size
    weight = next(network.parameters())
    pixels = torch.zeros(1, 3, side, side, device=weight.device, dtype=weight.dtype)
    seen: Tensor = network(pixels, output_hidden_states=True).hidden_states[-2]
    return seen.float().cpu()
