"""The three networks of the demo model: sizes, starting weights, nothing about training."""

from typing import Any, Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from training.pictures import PICTURE_PIXELS

VAE_CHANNELS: Final = (16, 32, 64, 64)
UNET_CHANNELS: Final = (64, 128)
TEXT_WIDTH: Final = 128
TEXT_LAYERS: Final = 2
TEXT_POSITIONS: Final = 77
ATTENTION_HEADS: Final = 8


def norm_groups(channels: tuple[int, ...]) -> int:
    """Follow the rule by which readers of the file derive the groups of the normalisation."""
    return min(32, min(channels) // 4)


def build_vae() -> AutoencoderKL:
    """Build the picture codec, f=8, four latent channels."""
    depth = len(VAE_CHANNELS)
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        layers_per_block=1,
        block_out_channels=VAE_CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        norm_num_groups=norm_groups(VAE_CHANNELS),
        sample_size=PICTURE_PIXELS,
    )
    _start_as_a_linear_trunk(vae)
    return vae


def unet_config() -> dict[str, Any]:
    """Return what diffusers must be told to build the denoiser."""
    depth = len(UNET_CHANNELS)
    return {
        "sample_size": PICTURE_PIXELS // 8,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": UNET_CHANNELS,
        "down_block_types": ("CrossAttnDownBlock2D",) * depth,
        "up_block_types": ("CrossAttnUpBlock2D",) * depth,
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": ATTENTION_HEADS,
        "norm_num_groups": norm_groups(UNET_CHANNELS),
    }


def build_unet() -> UNet2DConditionModel:
    """Build the denoiser, attention at both levels."""
    return UNet2DConditionModel(**unet_config())


def build_text_encoder(words: int) -> CLIPTextModel:
    """Build a small CLIP text encoder for `words` tokens, the last one ending text."""
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=TEXT_WIDTH,
        intermediate_size=TEXT_WIDTH * 4,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=TEXT_WIDTH // 64,
        max_position_embeddings=TEXT_POSITIONS,
        hidden_act="quick_gelu",
        projection_dim=TEXT_WIDTH,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    encoder = CLIPTextModel(config)
    # CLIP's own start (0.02) makes all words nearly alike; a small model has no time for that.
    nn.init.normal_(encoder.get_input_embeddings().weight, std=0.1)
    return encoder


def _start_as_a_linear_trunk(vae: AutoencoderKL) -> None:
    """Zero the residual branches: from the default start this codec learns very slowly."""
    for module in vae.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in vae.modules():
        kind = type(module).__name__
        if kind == "ResnetBlock2D":
            nn.init.zeros_(module.conv2.weight)
        if kind == "Downsample2D":
            _add_identity(module.conv.weight, slice(1, 3), 0.25)
        if kind == "Upsample2D":
            _add_identity(module.conv.weight, slice(1, 2), 1.0)


@torch.no_grad()
def _add_identity(weight: torch.Tensor, taps: slice, value: float) -> None:
    weight.mul_(0.3)
    for channel in range(min(weight.shape[:2])):
        weight[channel, channel, taps, taps] += value
