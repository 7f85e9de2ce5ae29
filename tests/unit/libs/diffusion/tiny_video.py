"""Video models of the real classes and layouts with few, random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLTemporalDecoder,
    CogVideoXDDIMScheduler,
    CogVideoXTransformer3DModel,
    MotionAdapter,
    UNetSpatioTemporalConditionModel,
)
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, T5EncoderModel

from tests.fidelity.cogvideo_names import release_transformer, release_vae_name
from tests.fidelity.ldm_names import vae_tensor
from tests.fidelity.svd_names import svd_unet_name, svd_vae_name
from tests.unit.libs.diffusion import layouts, tiny

SVD_VISION = "conditioner.embedders.0.open_clip.model.visual."
# The blocks over time are normalised in 32 groups, whatever their width.
SVD_UNET: Mapping[str, Any] = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "cross_attention_dim": 32,
    "num_attention_heads": (1, 1),
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24,
}
SVD_VAE: Mapping[str, Any] = {
    "block_out_channels": (32, 32, 32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
}
VISION_LAYERS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
VISION_TOP = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm.weight": "ln_pre.weight",
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
}


def vision_network(projection: int = 32) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=16,
        image_size=28,
        patch_size=14,
        projection_dim=projection,
    )
    return CLIPVisionModelWithProjection(config).eval()


def open_clip_vision(network: CLIPVisionModelWithProjection, prefix: str) -> dict[str, Tensor]:
    """Return the network as open_clip writes it: joined projections, other names."""
    state = network.state_dict()
    out = {ours: state[f"vision_model.{theirs}"] for theirs, ours in VISION_TOP.items()}
    out["proj"] = state["visual_projection.weight"].T
    for layer in range(network.config.num_hidden_layers):
        old, new = f"vision_model.encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for leaf in ("weight", "bias"):
            for theirs, ours in VISION_LAYERS.items():
                out[f"{new}{ours}.{leaf}"] = state[f"{old}{theirs}.{leaf}"]
            parts = [state[f"{old}self_attn.{part}_proj.{leaf}"] for part in "qkv"]
            out[f"{new}attn.in_proj_{leaf}"] = torch.cat(parts)
    return {prefix + name: tensor for name, tensor in out.items()}


def svd_parts() -> tuple[UNetSpatioTemporalConditionModel, AutoencoderKLTemporalDecoder]:
    """Return both networks with as much over time as over the picture, and no quantisation."""
    torch.manual_seed(6)
    unet = UNetSpatioTemporalConditionModel(**SVD_UNET).eval()
    vae = AutoencoderKLTemporalDecoder(**SVD_VAE).eval()
    with torch.no_grad():
        vae.quant_conv.weight.copy_(torch.eye(8)[:, :, None, None])
        vae.quant_conv.bias.zero_()
    return unet, vae


def svd() -> dict[str, Tensor]:
    """Return a checkpoint as people download it."""
    unet, vae = svd_parts()
    tensors = {
        f"model.diffusion_model.{svd_unet_name(name, SVD_UNET)}": tensor
        for name, tensor in unet.state_dict().items()
    }
    for name, tensor in vae.state_dict().items():
        if not name.startswith("quant_conv"):
            tensors[f"first_stage_model.{svd_vae_name(name, 4)}"] = vae_tensor(name, tensor)
    return tensors | open_clip_vision(vision_network(), SVD_VISION)


def svd_folder() -> dict[str, Tensor]:
    """Return the same under the names of a folder with a part for each network."""
    unet, vae = svd_parts()
    parts = {"unet": unet, "vae": vae, "image_encoder": vision_network()}
    return {
        f"{part}.{name}": tensor
        for part, network in parts.items()
        for name, tensor in network.state_dict().items()
    }


def motion_network(middle: bool = True, frames_max: int = 32) -> MotionAdapter:
    """Return a motion module for the tiny UNet of Stable Diffusion 1 that really moves frames.

    Its last layers are of zeros when it is made, as in training; here they are not.
    """
    torch.manual_seed(9)
    network = MotionAdapter(
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_norm_num_groups=4,
        motion_max_seq_length=frames_max,
        use_motion_mid_block=middle,
    ).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if "proj_out" in name:
                tensor.normal_(0, 0.3)
    return network


def first_motion_names(network: MotionAdapter) -> dict[str, Tensor]:
    """Return a motion module as AnimateDiff's first files write it."""
    tensors = {}
    for name, tensor in network.state_dict().items():
        place, _, inner = name.partition(".motion_modules.")
        number, _, inner = inner.partition(".")
        inner = inner.replace("attn1.", "attention_blocks.0.").replace(
            "attn2.", "attention_blocks.1."
        )
        inner = inner.replace("norm1.", "norms.0.").replace("norm2.", "norms.1.")
        inner = inner.replace("norm3.", "ff_norm.")
        stem = f"{place}.motion_modules.{number}.temporal_transformer."
        if "pos_embed.pe" in inner:
            for block in (0, 1):
                at = inner.replace("pos_embed.pe", f"attention_blocks.{block}.pos_encoder.pe")
                tensors[stem + at] = tensor.clone()
        else:
            tensors[stem + inner] = tensor
    return tensors


# CogVideoX 2B but for its widths; 5B and 1.5 differ in how places are told.
COGVIDEO: Mapping[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 16,
    "out_channels": 16,
    "time_embed_dim": 16,
    "text_embed_dim": 32,
    "num_layers": 2,
}
COGVIDEO_5B: Mapping[str, Any] = {**COGVIDEO, "use_rotary_positional_embeddings": True}
COGVIDEO_15: Mapping[str, Any] = {
    **COGVIDEO_5B,
    "patch_size_t": 2,
    "sample_width": 170,
    "sample_height": 96,
    "sample_frames": 81,
    "max_text_seq_length": 224,
}
COGVIDEO_VAE: Mapping[str, Any] = {
    "block_out_channels": (8, 8, 8, 16),
    "latent_channels": 16,
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "down_block_types": ("CogVideoXDownBlock3D",) * 4,
    "up_block_types": ("CogVideoXUpBlock3D",) * 4,
}


def cogvideo(config: Mapping[str, Any] = COGVIDEO) -> CogVideoXTransformer3DModel:
    torch.manual_seed(11)
    network = CogVideoXTransformer3DModel(**config).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            # Gates and shifts are small when they are made; here texts and times shall tell.
            if ".linear." in name:
                tensor.mul_(4)
    return network


def cogvideo_vae() -> AutoencoderKLCogVideoX:
    torch.manual_seed(12)
    return AutoencoderKLCogVideoX(**COGVIDEO_VAE).eval()


def cogvideo_text() -> T5EncoderModel:
    torch.manual_seed(13)
    return layouts.t5(32)


def write_cogvideo(folder: Path) -> tuple[Path, Path, Path]:
    """Write the three files of a model, named as the releases name their tensors."""
    model = folder / "diffusion_models/cog.safetensors"
    released = release_transformer(cogvideo().state_dict())
    tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in released.items()}
    tiny.written(model, tensors, torch.float32)
    text = folder / "text_encoders/t5.safetensors"
    tiny.written(text, layouts.t5_tensors(cogvideo_text()), torch.float32)
    layouts.word_tokenizer().save(str(text.parent / "tokenizer.json"))
    vae = folder / "vae/cog_vae.safetensors"
    tensors = cogvideo_vae().state_dict()
    named = {release_vae_name(name): tensor for name, tensor in tensors.items()}
    tiny.written(vae, named | {"loss.logvar": torch.zeros(1)}, torch.float32)
    return model, text, vae


def write_cogvideo_folder(folder: Path, config: Mapping[str, Any], shift: float) -> Path:
    """Write a model as diffusers does."""
    network = cogvideo(config)
    network.save_pretrained(folder / "transformer")
    cogvideo_vae().save_pretrained(folder / "vae")
    cogvideo_text().save_pretrained(folder / "text_encoder")
    (folder / "tokenizer").mkdir()
    layouts.word_tokenizer().save(str(folder / "tokenizer/tokenizer.json"))
    (folder / "scheduler").mkdir()
    CogVideoXDDIMScheduler(snr_shift_scale=shift).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "CogVideoXPipeline",
        "transformer": ["diffusers", "CogVideoXTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLCogVideoX"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
        "scheduler": ["diffusers", "CogVideoXDDIMScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder
