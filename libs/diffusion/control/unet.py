"""ControlNets for UNets (Zhang et al. 2023): a copy of the encoder that sees the hint as well.

Those for several types of hints (xinsir's unions) are read too, and both ways to name tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat, Shapes
from libs.diffusion.control import union
from libs.diffusion.control.base import DIFFERENCE, Hint
from libs.diffusion.loader.build import build
from libs.diffusion.loader.unet import UnetShape
from libs.diffusion.loader.unet_names import single_file_names
from libs.sampling.control import Call, Residuals

PREFIX: Final = "control_model."
FIRST: Final = "zero_convs.0.0.weight"
DIFFUSERS_FIRST: Final = "controlnet_down_blocks.0.weight"
DIFFUSERS_HINT: Final = "controlnet_cond_embedding"
# Of a UNet, but no ControlNet has it: the reader of shapes asks for it.
LAST: Final = "out.2.weight"


def detect(shapes: Shapes) -> UnetControl | None:
    """Return the sizes, None if this is no such ControlNet."""
    inner = {name.removeprefix(PREFIX): shape for name, shape in shapes.items()}
    if FIRST in inner:
        return UnetControl.of(inner)
    if DIFFUSERS_FIRST in inner and f"{DIFFUSERS_HINT}.conv_in.weight" in inner:
        known = _as_single_file(inner)
        types = inner[union.MARK][0] if union.MARK in inner else 0
        return UnetControl(UnetShape.of({LAST: (0,), **known}), _diffusers_widths(inner), types)
    return None


@dataclass(frozen=True)
class UnetControl:
    """A ControlNet of a UNet of that shape; `hint_widths` are those of its way to the hint."""

    shape: UnetShape
    hint_widths: tuple[int, ...]
    types: int
    latent: LatentFormat | None = None
    extra_channels: int = 0
    multiple: int = 8
    looks_once: bool = False
    half: torch.dtype = torch.float16

    @classmethod
    def of(cls, shapes: Shapes) -> UnetControl:
        """Return the one whose tensors these are, by the names of single files."""
        return cls(UnetShape.of({LAST: (0,), **shapes}), _hint_widths(shapes), 0)

    @property
    def name(self) -> str:
        return "controlnet_xl" if self.shape.summary else "controlnet"

    def build(self, tensors: dict[str, Tensor]) -> nn.Module:
        tensors = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        if FIRST in tensors:
            tensors = self._from_single_file(tensors)
        network: nn.Module
        if self.types:
            network = build(self.made, union.renamed(tensors))
        else:
            network = build(self.made, tensors)
        return network

    def _from_single_file(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = published_names({name.rpartition(".")[0] for name in self.blank()})
        ours = {published: module for module, published in names.items()}
        found = {}
        for name, tensor in tensors.items():
            if name == DIFFERENCE:
                continue
            module, _, leaf = name.rpartition(".")
            found[f"{ours.get(module, module)}.{leaf}"] = tensor
        return found

    def made(self) -> Any:
        """Make the network."""
        network = ControlNetModel(**self._config())
        return union.with_types(network, self.types) if self.types else network

    def blank(self) -> dict[str, torch.Size]:
        """Return the sizes of its tensors."""
        with torch.device("meta"):
            return {name: tensor.shape for name, tensor in self.made().named_parameters()}

    def residuals(self, network: nn.Module, call: Call, hint: Hint, strength: float) -> Residuals:
        extras = {
            name: call.extras[name] for name in ("text_embeds", "time_ids") if name in call.extras
        }
        if self.shape.summary and not extras:
            raise Refused("this ControlNet is for SDXL models, and the model is none")
        self._require_width(call.context)
        down, middle = network(
            call.x,
            call.timestep,
            encoder_hidden_states=call.context,
            controlnet_cond=hint if self.types else hint.values,
            class_labels=union.flags(hint, self.types, call.x) if self.types else None,
            added_cond_kwargs=extras or None,
            conditioning_scale=strength,
            return_dict=False,
        )
        return {"down": down, "middle": (middle,)}

    def _require_width(self, context: Tensor) -> None:
        if context.shape[-1] != self.shape.context:
            raise Refused(
                "the ControlNet was made for models with another text encoder",
                text_width=context.shape[-1],
                controlnet_width=self.shape.context,
            )

    def _config(self) -> Mapping[str, Any]:
        config = self.shape.config()
        del config["out_channels"], config["up_block_types"]
        return config | {"conditioning_embedding_out_channels": self.hint_widths}


def _hint_widths(shapes: Shapes) -> tuple[int, ...]:
    """Return the widths at which the hint is looked at, from full size to an eighth."""
    widths: list[int] = []
    while (name := f"input_hint_block.{4 * len(widths)}.weight") in shapes:
        widths.append(shapes[name][0])
    return tuple(widths)


def _diffusers_widths(shapes: Shapes) -> tuple[int, ...]:
    widths = [shapes[f"{DIFFUSERS_HINT}.conv_in.weight"][0]]
    while (name := f"{DIFFUSERS_HINT}.blocks.{2 * len(widths) - 1}.weight") in shapes:
        widths.append(shapes[name][0])
    return tuple(widths)


def _as_single_file(shapes: Shapes) -> Shapes:
    """Return the shapes by the names that single files have."""
    published = single_file_names({name.rpartition(".")[0] for name in shapes})
    found = {}
    for name, shape in shapes.items():
        module, _, leaf = name.rpartition(".")
        found[f"{published.get(module, module)}.{leaf}"] = shape
    return found


def published_names(modules: set[str]) -> dict[str, str]:
    """Return the name in single files of each module of a ControlNet."""
    named = single_file_names(modules)
    last = max((int(m.split(".")[2]) for m in modules if "cond_embedding.blocks." in m), default=-1)
    for module in modules:
        if module.startswith("controlnet_down_blocks."):
            named[module] = f"zero_convs.{module.split('.')[1]}.0"
        elif module == "controlnet_mid_block":
            named[module] = "middle_block_out.0"
        elif module.startswith("controlnet_cond_embedding."):
            _, place, *number = module.split(".")
            at = {"conv_in": 0, "conv_out": 2 * last + 4}.get(place)
            at = 2 * int(number[0]) + 2 if at is None else at
            named[module] = f"input_hint_block.{at}"
    return {module: named.get(module, module) for module in modules}
