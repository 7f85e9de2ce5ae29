"""The tensors of networks under the names that single files have for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import torch
from diffusers import (
    AutoencoderKL,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.adapters.altering import unpacked
from libs.diffusion.adapters.joined_names import joined_names
from libs.diffusion.architectures.sd3_names import scale_first
from libs.diffusion.loader.unet_names import single_file_names
from libs.diffusion.packed.tensor import PackedTensor

NAMES_SHOWN: Final = 4
LEAVES: Final = ("weight", "bias")
LAST_NORM: Final = "norm_out.linear"
LAST_NORM_OF_TEXT: Final = re.compile(r"joint_blocks\.(\d+)\.context_block\.adaLN_modulation\.1")
FLUX_NORM: Final = re.compile(r"_blocks\.\d+\..*(query|key)_norm")
VAE_OUTER: Final = {
    "quant_conv": "quant_conv",
    "post_quant_conv": "post_quant_conv",
    **{
        f"{side}.{conv}": f"{side}.{conv}"
        for side in ("encoder", "decoder")
        for conv in ("conv_in", "conv_out")
    },
    "encoder.conv_norm_out": "encoder.norm_out",
    "decoder.conv_norm_out": "decoder.norm_out",
}
VAE_ATTENTION: Final = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
VAE_PLACE: Final = re.compile(
    r"(encoder|decoder)\.(down_blocks|up_blocks|mid_block)\.(?:(\d+)\.)?"
    r"(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Return all numbers of a network, those that are kept packed as plain ones."""
    state = network.state_dict(keep_vars=True)
    return {
        name: unpacked(tensor) if isinstance(tensor, PackedTensor) else tensor.detach()
        for name, tensor in state.items()
    }


def network_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return a diffusion network's tensors; raise Refused where single files have no such kind."""
    tensors = tensors_of(network)
    modules = {name.rpartition(".")[0]: tensor.shape[0] for name, tensor in tensors.items()}
    if isinstance(network, UNet2DConditionModel):
        return _renamed(network, tensors, single_file_names(modules))
    if isinstance(network, SD3Transformer2DModel | FluxTransformer2DModel):
        rows = {name: size for name, size in modules.items() if f"{name}.weight" in tensors}
        return _complete(network, tensors, dict(_joined(tensors, rows)))
    raise Refused("models of this kind are not written into files", network=type(network).__name__)


def vae_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return a VAE's tensors; raise Refused for VAEs of videos and for tiny ones."""
    if not isinstance(network, AutoencoderKL):
        raise Refused(
            "VAEs of this kind are not written into files", network=type(network).__name__
        )
    tensors = tensors_of(network)
    levels = len(network.config["block_out_channels"])
    modules = {name.rpartition(".")[0] for name in tensors}
    names = {module: _vae_name(module, levels) for module in modules}
    renamed = _renamed(network, tensors, {old: new for old, new in names.items() if new})
    return {
        # Attention is written as convolutions of one pixel.
        name: tensor[:, :, None, None] if ".attn_1." in name and tensor.ndim == 2 else tensor
        for name, tensor in renamed.items()
    }


def _vae_name(module: str, levels: int) -> str:
    if module in VAE_OUTER:
        return VAE_OUTER[module]
    place = VAE_PLACE.fullmatch(module)
    if place is None:
        return ""
    side, blocks, level, kind, number, inner = place.groups()
    if kind == "attentions":
        return f"{side}.mid.attn_1.{VAE_ATTENTION[inner]}"
    inner = inner.replace("conv_shortcut", "nin_shortcut")
    if blocks == "mid_block":
        return f"{side}.mid.block_{int(number) + 1}.{inner}"
    way = "down" if blocks == "down_blocks" else "up"
    at = int(level) if way == "down" else levels - 1 - int(level)
    home = f"{side}.{way}.{at}"
    return f"{home}.block.{number}.{inner}" if kind == "resnets" else f"{home}.{way}sample.conv"


def _renamed(
    network: nn.Module, tensors: Mapping[str, Tensor], names: Mapping[str, str]
) -> dict[str, Tensor]:
    found = {}
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        if module in names:
            found[f"{names[module]}.{leaf}"] = tensor
    return _complete(network, tensors, found)


def _joined(tensors: Mapping[str, Tensor], rows: Mapping[str, int]) -> Iterator[tuple[str, Tensor]]:
    """Yield a transformer's tensors, those of joined modules one behind the other."""
    last = max(
        (int(name.split(".")[1]) for name in rows if "transformer_blocks." in name), default=0
    )
    for published, homes in joined_names(rows):
        simple = LAST_NORM_OF_TEXT.fullmatch(published)
        for leaf in LEAVES:
            if f"{homes[0]}.{leaf}" not in tensors:
                continue
            whole = _behind([tensors[f"{home}.{leaf}"] for home in homes])
            ending = "scale" if FLUX_NORM.search(published) else leaf
            # Half and half swapped; doing it twice is doing nothing.
            swapped = simple is not None and int(simple[1]) == last
            yield f"{published}.{ending}", scale_first(whole) if swapped else whole
    for leaf in LEAVES:
        yield f"final_layer.adaLN_modulation.1.{leaf}", scale_first(tensors[f"{LAST_NORM}.{leaf}"])
    if "pos_embed.pos_embed" in tensors:
        yield "pos_embed", tensors["pos_embed.pos_embed"]


def _behind(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _complete(
    network: nn.Module, tensors: Mapping[str, Tensor], found: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Return what was found; raise Refused if it is not every number of the network."""
    before, after = (sum(one.numel() for one in some.values()) for some in (tensors, found))
    if before != after:
        raise Refused(
            "the network has parts that single files have no names for",
            network=type(network).__name__,
            numbers=before,
            named=after,
        )
    return found
