"""The checkpoint that the reference pictures were made with: random weights that work.

`python -m tests.fidelity.checkpoint FILE` writes it, always the same from the same seed. It is
Stable Diffusion 1.5 with a smaller UNet. Nothing is downloaded or trained: its last layers are
fitted (`fitting.py`, which takes minutes; what it found is kept beside the references), and all
other weights are drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from tests.fidelity.ldm_names import text_name, unet_name, vae_name, vae_tensor

SEED = 0
FITTED = Path(__file__).parent / "reference" / "fitted.safetensors"
SCALE = 0.18215
# Louder text makes guidance of 7 on random weights explode, quieter text shows nothing.
TEXT_GAIN = 0.8
UNET: Mapping[str, Any] = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (320, 640),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "norm_num_groups": 32,
    "scaling_factor": SCALE,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
TEXT: Mapping[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 49407,
}


@torch.no_grad()
def make_checkpoint() -> dict[str, Tensor]:
    """Return the tensors of the checkpoint, in half precision."""
    return named(*drawn(torch.Generator().manual_seed(SEED + 1))) | load_file(FITTED)


def drawn(generator: Generator) -> tuple[Any, Any, Any]:
    """Return UNet, VAE and text encoder before anything is fitted.

    The order of every draw matters: another order is another checkpoint.
    """
    torch.manual_seed(SEED)
    unet = UNet2DConditionModel(**UNET).eval()
    vae = AutoencoderKL(**VAE).eval()
    text = CLIPTextModel(CLIPTextConfig(**TEXT)).eval()
    _make_text_matter(unet, text, generator)
    return unet, vae, text


def _make_text_matter(unet: Any, text: Any, generator: torch.Generator) -> None:
    for name, parameter in text.named_parameters():
        if "token_embedding" in name:
            parameter.normal_(0, 1.0, generator=generator)
        elif "position_embedding" in name:
            parameter.normal_(0, 0.3, generator=generator)
    for name, parameter in unet.named_parameters():
        if ".attn2.to_q." in name or ".attn2.to_k." in name:
            parameter.mul_(2.0)
        elif ".attn2.to_out.0.weight" in name:
            parameter.mul_(TEXT_GAIN)


def named(unet: Any, vae: Any, text: Any) -> dict[str, Tensor]:
    """Return all weights under the names of a single file, in half precision."""
    levels = len(VAE["block_out_channels"])
    named = {
        f"model.diffusion_model.{unet_name(name, UNET)}": tensor
        for name, tensor in unet.state_dict().items()
    }
    named |= {
        f"first_stage_model.{vae_name(name, levels)}": vae_tensor(name, tensor)
        for name, tensor in vae.state_dict().items()
    }
    named |= {
        f"cond_stage_model.transformer.{text_name(name)}": tensor
        for name, tensor in text.state_dict().items()
    }
    return {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in named.items()
    }


if __name__ == "__main__":
    save_file(make_checkpoint(), Path(sys.argv[1]))
