"""Checkpoints of the real layouts with few, random weights, and the loader that reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from libs.diffusion.placement import Placement
from libs.diffusion.residency import ModelCache
from libs.diffusion.torch_loader import TorchLoader
from tests.fidelity.ldm_names import text_name, unet_name, vae_name, vae_tensor

VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (8, 16, 16, 16),
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
SD1_UNET: Mapping[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (16, 32),
    "cross_attention_dim": 64,
    "attention_head_dim": 8,
    "norm_num_groups": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
SDXL_UNET: Mapping[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (32, 64, 128),
    "cross_attention_dim": 64 + 128,
    "attention_head_dim": (1, 1, 2),
    "norm_num_groups": 8,
    "transformer_layers_per_block": (1, 2, 3),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 128 + 6 * 256,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}
REFINER_UNET: Mapping[str, Any] = {
    **SDXL_UNET,
    "cross_attention_dim": 128,
    "transformer_layers_per_block": (1, 2, 2),
    "projection_class_embeddings_input_dim": 128 + 5 * 256,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}


def text_encoder(width: int, layers: int, act: str = "quick_gelu") -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=max(1, width // 64),
            vocab_size=49408,
            hidden_act=act,
            eos_token_id=49407,
        )
    ).eval()


def unet_tensors(config: Mapping[str, Any]) -> dict[str, Tensor]:
    unet = UNet2DConditionModel(**config)
    return {
        f"model.diffusion_model.{unet_name(name, config)}": tensor
        for name, tensor in unet.state_dict().items()
    }


def vae_tensors(prefix: str = "first_stage_model.") -> dict[str, Tensor]:
    return {
        prefix + vae_name(name, 4): vae_tensor(name, tensor)
        for name, tensor in AutoencoderKL(**VAE).state_dict().items()
    }


def clip_tensors(encoder: CLIPTextModel, prefix: str) -> dict[str, Tensor]:
    return {prefix + text_name(name): tensor for name, tensor in encoder.state_dict().items()}


def open_clip_tensors(encoder: CLIPTextModel, projection: Tensor, prefix: str) -> dict[str, Tensor]:
    """Return a text encoder as open_clip writes it: joined projections, other names."""
    state = {
        name.removeprefix("text_model."): tensor for name, tensor in encoder.state_dict().items()
    }
    out = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
        "text_projection": projection,
        "logit_scale": torch.tensor(1.0),
    }
    renamed = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc"}
    renamed |= {"mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj"}
    for layer in range(encoder.config.num_hidden_layers):
        old, new = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for leaf in ("weight", "bias"):
            for theirs, ours in renamed.items():
                out[f"{new}{ours}.{leaf}"] = state[f"{old}{theirs}.{leaf}"]
            parts = [state[f"{old}self_attn.{part}_proj.{leaf}"] for part in "qkv"]
            out[f"{new}attn.in_proj_{leaf}"] = torch.cat(parts)
    return {prefix + name: tensor for name, tensor in out.items()}


def sd1(*markers: str) -> dict[str, Tensor]:
    torch.manual_seed(1)
    tensors = unet_tensors(SD1_UNET) | vae_tensors()
    tensors |= clip_tensors(text_encoder(64, 3), "cond_stage_model.transformer.")
    return tensors | {name: torch.tensor([]) for name in markers}


def sdxl() -> dict[str, Tensor]:
    torch.manual_seed(2)
    tensors = unet_tensors(SDXL_UNET) | vae_tensors()
    tensors |= clip_tensors(text_encoder(64, 3), "conditioner.embedders.0.transformer.")
    second = text_encoder(128, 4, "gelu")
    return tensors | open_clip_tensors(
        second, torch.randn(128, 128) / 10, "conditioner.embedders.1.model."
    )


def refiner() -> dict[str, Tensor]:
    torch.manual_seed(3)
    tensors = unet_tensors(REFINER_UNET) | vae_tensors()
    return tensors | open_clip_tensors(
        text_encoder(128, 3, "gelu"), torch.randn(128, 128) / 10, "conditioner.embedders.0.model."
    )


def written(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}, path)
    return path


def loader(bytes_max: int = 2**30) -> TorchLoader:
    return TorchLoader(Placement.cpu(), ModelCache(bytes_max))


def no_step(value: int, total: int, preview: object = None) -> None:
    """Nobody listens."""
