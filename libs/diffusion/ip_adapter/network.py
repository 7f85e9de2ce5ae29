"""The network of an IP-Adapter: its projection, and what each layer of a UNet adds of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import Shapes
from libs.diffusion.ip_adapter.projection import Resampler, Summary, Whole, maker
from libs.diffusion.loader.build import build

LAYER: Final = re.compile(r"ip_adapter\.(\d+)\.(to_[kv]_ip)\.weight")
# The order in which the layers of a UNet are counted in the files.
SIDES: Final = ("down_blocks.", "up_blocks.", "mid_block.")
# What only files have that draw by the numbers of a face.
FACE_MARKS: Final = ("to_q_lora.down.weight", "image_proj.perceiver_resampler.proj_in.weight")
FLUX_MARKS: Final = ("ip_adapter_proj_model.", "double_blocks.0.processor.ip_adapter_")


class Layer(nn.Module):
    """What one layer of a UNet knows of a picture's tokens."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.to_k_ip = nn.Linear(tokens, width, bias=False)
        self.to_v_ip = nn.Linear(tokens, width, bias=False)


class IpNetwork(nn.Module):
    """The projection and the layers, moved and measured as one."""

    def __init__(self, projection: Summary | Whole | Resampler, layers: Iterable[Layer]) -> None:
        super().__init__()
        self.image_proj = projection
        self.ip_adapter = nn.ModuleList(layers)

    def tokens(self, seen: Tensor) -> Tensor:
        """Return the tokens of all pictures in a row [1, tokens, width]."""
        weight = next(self.image_proj.parameters())
        tokens: Tensor = self.image_proj(seen.to(weight.device, weight.dtype))
        return tokens.flatten(0, 1)[None]


def layer_numbers(shapes: Shapes) -> list[int]:
    """Return the numbers of the layers in a file; raise Refused if it has none that can be used."""
    if any(name.startswith(FLUX_MARKS) for name in shapes):
        raise Refused(
            "IP-Adapters of Flux are not supported: Flux is shown a picture by Redux "
            "(StyleModelLoader and StyleModelApply)"
        )
    if _of_faces(shapes):
        raise Refused(
            "FaceID adapters are not supported: they draw by what InsightFace's network says of a "
            "face, and its weights may not be shipped; ip-adapter-plus-face and "
            "ip-adapter-full-face draw a face by CLIP vision alone"
        )
    numbers = {int(match[1]) for match in map(LAYER.fullmatch, shapes) if match}
    if not numbers:
        raise Refused("the file holds no IP-Adapter", first=sorted(shapes)[:3])
    return sorted(numbers)


def build_ip_network(tensors: dict[str, Tensor]) -> IpNetwork:
    """Build the network from its tensors; raise Refused if they do not fit."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    numbers = layer_numbers(shapes)
    sizes = [shapes[f"ip_adapter.{number}.to_k_ip.weight"] for number in numbers]
    place = {number: at for at, number in enumerate(numbers)}
    make = maker(shapes)

    def renamed(name: str) -> str:
        match = LAYER.fullmatch(name)
        return f"ip_adapter.{place[int(match[1])]}.{match[2]}.weight" if match else name

    return build(
        lambda: IpNetwork(make(), (Layer(tokens, width) for width, tokens in sizes)),
        {renamed(name): tensor for name, tensor in tensors.items()},
    )


def _of_faces(shapes: Shapes) -> bool:
    """Say whether the adapter draws by the numbers that a face recognition network gives."""
    from_summary = "image_proj.proj.2.weight" in shapes and "image_proj.norm.weight" in shapes
    return from_summary or any(name.endswith(FACE_MARKS) for name in shapes)


def text_layers(network: nn.Module) -> list[nn.Module]:
    """Return the layers of a UNet that attend to the text, in the order of the files."""
    found = [
        (name, module)
        for name, module in network.named_modules()
        if name.endswith(".attn2") and "motion_modules" not in name
    ]
    return [module for side in SIDES for name, module in found if name.startswith(side)]


def require_fitting(ours: IpNetwork, network: nn.Module) -> None:
    """Raise Refused if the layers are not those of this UNet."""
    layers = text_layers(network)
    wanted = [_width(layer.get_submodule("to_k")) for layer in layers]
    have = [_width(layer.get_submodule("to_k_ip")) for layer in ours.ip_adapter]
    if wanted != have:
        raise Refused(
            "the IP-Adapter was made for another kind of model",
            layers_of_model=len(wanted),
            layers_of_adapter=len(have),
        )


def _width(layer: nn.Module) -> int:
    weight = layer.weight
    return int(weight.shape[0]) if isinstance(weight, torch.Tensor) else 0
