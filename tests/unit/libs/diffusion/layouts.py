"""Transformers and text encoders with few, random weights, as single files hold them.

The names are written from diffusers' to the files', the other way round than the product reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import Unigram
from torch import Tensor
from transformers import T5Config, T5EncoderModel

from tests.fidelity.ldm_names import vae_name, vae_tensor
from tests.unit.libs.diffusion import tiny

PREFIX = "model.diffusion_model."
SD3: dict[str, Any] = {
    "sample_size": 32,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 2,
    "attention_head_dim": 64,
    "num_attention_heads": 1,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 64,
    "pooled_projection_dim": 64 + 128,
    "pos_embed_max_size": 16,
}
SD35_MEDIUM: dict[str, Any] = SD3 | {"qk_norm": "rms_norm", "dual_attention_layers": (0,)}
SD35_LARGE: dict[str, Any] = SD3 | {"qk_norm": "rms_norm", "num_layers": 3}
FLUX: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": 64,
    "out_channels": 64,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 64,
    "axes_dims_rope": (4, 14, 14),
}
FLUX_DEV: dict[str, Any] = FLUX | {"guidance_embeds": True}
VAE16: dict[str, Any] = {**tiny.VAE} | {
    "latent_channels": 16,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
WORDS = ("fox", "red", "a", "snow", "in", "the", "photo", "of", "old", "house")


def t5(width: int = 4096, **changed: Any) -> T5EncoderModel:
    config = {
        "vocab_size": 64,
        "d_model": width,
        "d_kv": 8,
        "num_heads": 2,
        "d_ff": 16,
        "num_layers": 2,
        "feed_forward_proj": "gated-gelu",
        "dense_act_fn": "gelu_new",
        "is_gated_act": True,
    }
    return T5EncoderModel(T5Config(**(config | changed))).eval()


def t5_tensors(encoder: T5EncoderModel, prefix: str = "") -> dict[str, Tensor]:
    return {
        f"{prefix}{name}": tensor
        for name, tensor in encoder.state_dict().items()
        if "embed_tokens" not in name
    }


def word_pieces() -> list[tuple[str, float]]:
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -8.0)]
    words = [(f"▁{word}", -2.0 - number / 10) for number, word in enumerate(WORDS)]
    letters = [(letter, -9.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    return marks + words + letters


def word_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(Unigram(word_pieces(), unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def sd3_tensors(network: SD3Transformer2DModel) -> dict[str, Tensor]:
    """Return the network as Stability's files have it."""
    s, out = network.state_dict(), {}
    last = len(network.transformer_blocks) - 1
    top = {
        "x_embedder.proj": "pos_embed.proj",
        "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
        "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
        "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
        "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
        "context_embedder": "context_embedder",
        "final_layer.linear": "proj_out",
    }
    out["pos_embed"] = s["pos_embed.pos_embed"]
    for leaf in ("weight", "bias"):
        out |= {f"{new}.{leaf}": s[f"{old}.{leaf}"] for new, old in top.items()}
        out[f"final_layer.adaLN_modulation.1.{leaf}"] = shift_first(s[f"norm_out.linear.{leaf}"])
        for at in range(last + 1):
            old, new = f"transformer_blocks.{at}.", f"joint_blocks.{at}."
            out |= _sd3_block(s, old, new, leaf, is_last=at == last)
    return {f"{PREFIX}{name}": tensor for name, tensor in out.items()}


def _sd3_block(
    s: Mapping[str, Tensor], old: str, new: str, leaf: str, *, is_last: bool
) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    sides = (
        ("x_block", "norm1", "attn", ("to_q", "to_k", "to_v"), "to_out.0", ("q", "k"), "ff"),
        (
            "context_block",
            "norm1_context",
            "attn",
            ("add_q_proj", "add_k_proj", "add_v_proj"),
            "to_add_out",
            ("added_q", "added_k"),
            "ff_context",
        ),
        ("x_block", None, "attn2", ("to_q", "to_k", "to_v"), "to_out.0", ("q", "k"), None),
    )
    for side, norm, attention, parts, leaving, norms, feed in sides:
        if f"{old}{attention}.{parts[0]}.{leaf}" not in s:
            continue
        home = f"{new}{side}."
        out[f"{home}{attention}.qkv.{leaf}"] = torch.cat(
            [s[f"{old}{attention}.{part}.{leaf}"] for part in parts]
        )
        for theirs, ours in zip(("ln_q", "ln_k"), norms, strict=True):
            if leaf == "weight" and f"{old}{attention}.norm_{ours}.weight" in s:
                out[f"{home}{attention}.{theirs}.weight"] = s[
                    f"{old}{attention}.norm_{ours}.weight"
                ]
        simple = is_last and side == "context_block"
        if norm is not None:
            modulation = s[f"{old}{norm}.linear.{leaf}"]
            out[f"{home}adaLN_modulation.1.{leaf}"] = (
                shift_first(modulation) if simple else modulation
            )
        if not simple:
            out[f"{home}{attention}.proj.{leaf}"] = s[f"{old}{attention}.{leaving}.{leaf}"]
            if feed is not None:
                out[f"{home}mlp.fc1.{leaf}"] = s[f"{old}{feed}.net.0.proj.{leaf}"]
                out[f"{home}mlp.fc2.{leaf}"] = s[f"{old}{feed}.net.2.{leaf}"]
    return out


def flux_tensors(network: FluxTransformer2DModel, prefix: str = "") -> dict[str, Tensor]:
    """Return the network as Black Forest Labs' files have it."""
    s, out = network.state_dict(), {}
    top = {
        "img_in": "x_embedder",
        "txt_in": "context_embedder",
        "final_layer.linear": "proj_out",
        "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
        "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
        "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
        "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
        "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
        "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    }
    for leaf in ("weight", "bias"):
        for new, old in top.items():
            if f"{old}.{leaf}" in s:
                out[f"{new}.{leaf}"] = s[f"{old}.{leaf}"]
        out[f"final_layer.adaLN_modulation.1.{leaf}"] = shift_first(s[f"norm_out.linear.{leaf}"])
        for at in range(len(network.transformer_blocks)):
            out |= _flux_double(s, at, leaf)
        for at in range(len(network.single_transformer_blocks)):
            out |= _flux_single(s, at, leaf)
    return {f"{prefix}{name}": tensor for name, tensor in out.items()}


def _flux_double(s: Mapping[str, Tensor], at: int, leaf: str) -> dict[str, Tensor]:
    old, new = f"transformer_blocks.{at}.", f"double_blocks.{at}."
    out = {
        f"{new}img_mod.lin.{leaf}": s[f"{old}norm1.linear.{leaf}"],
        f"{new}txt_mod.lin.{leaf}": s[f"{old}norm1_context.linear.{leaf}"],
        f"{new}img_attn.qkv.{leaf}": torch.cat([s[f"{old}attn.to_{c}.{leaf}"] for c in "qkv"]),
        f"{new}txt_attn.qkv.{leaf}": torch.cat(
            [s[f"{old}attn.add_{c}_proj.{leaf}"] for c in "qkv"]
        ),
        f"{new}img_attn.proj.{leaf}": s[f"{old}attn.to_out.0.{leaf}"],
        f"{new}txt_attn.proj.{leaf}": s[f"{old}attn.to_add_out.{leaf}"],
    }
    for side, feed in (("img", "ff"), ("txt", "ff_context")):
        out[f"{new}{side}_mlp.0.{leaf}"] = s[f"{old}{feed}.net.0.proj.{leaf}"]
        out[f"{new}{side}_mlp.2.{leaf}"] = s[f"{old}{feed}.net.2.{leaf}"]
    for side, added in (("img", ""), ("txt", "added_")):
        for name, c in (("query", "q"), ("key", "k")):
            norm = s[f"{old}attn.norm_{added}{c}.weight"]
            out[f"{new}{side}_attn.norm.{name}_norm.scale"] = norm
    return out


def _flux_single(s: Mapping[str, Tensor], at: int, leaf: str) -> dict[str, Tensor]:
    old, new = f"single_transformer_blocks.{at}.", f"single_blocks.{at}."
    joined = [s[f"{old}attn.to_{c}.{leaf}"] for c in "qkv"] + [s[f"{old}proj_mlp.{leaf}"]]
    return {
        f"{new}modulation.lin.{leaf}": s[f"{old}norm.linear.{leaf}"],
        f"{new}linear1.{leaf}": torch.cat(joined),
        f"{new}linear2.{leaf}": s[f"{old}proj_out.{leaf}"],
        f"{new}norm.query_norm.scale": s[f"{old}attn.norm_q.weight"],
        f"{new}norm.key_norm.scale": s[f"{old}attn.norm_k.weight"],
    }


def shift_first(tensor: Tensor) -> Tensor:
    scale, shift = tensor.chunk(2)
    return torch.cat([shift, scale])


def vae16_tensors(prefix: str = "first_stage_model.") -> dict[str, Tensor]:
    return {
        prefix + vae_name(name, 4): vae_tensor(name, tensor)
        for name, tensor in AutoencoderKL(**VAE16).state_dict().items()
    }


def randomised(network: Any, seed: int) -> Any:
    """Return a network none of whose numbers is zero or one, as modulations start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.2 if parameter.ndim == 1 else 0.05, generator=generator)
    # As files in half precision hold them.
    return network.half().float().eval()


def sd3(config: dict[str, Any] = SD3, seed: int = 5) -> SD3Transformer2DModel:
    return randomised(SD3Transformer2DModel(**config), seed)


def flux(config: dict[str, Any] = FLUX_DEV, seed: int = 6) -> FluxTransformer2DModel:
    return randomised(FluxTransformer2DModel(**config), seed)
