"""The names of tensors in GGUF files: text networks are written under names of their own."""

from __future__ import annotations

import re

T5 = frozenset({"t5", "t5encoder"})
T5_TOP = {
    "token_embd": "shared",
    "enc.output_norm": "encoder.final_layer_norm",
}
T5_BLOCK = re.compile(r"enc\.blk\.(\d+)\.(\w+)\.(\w+)")
T5_PARTS = {
    "attn_q": "layer.0.SelfAttention.q",
    "attn_k": "layer.0.SelfAttention.k",
    "attn_v": "layer.0.SelfAttention.v",
    "attn_o": "layer.0.SelfAttention.o",
    "attn_rel_b": "layer.0.SelfAttention.relative_attention_bias",
    "attn_norm": "layer.0.layer_norm",
    "ffn_gate": "layer.1.DenseReluDense.wi_0",
    "ffn_up": "layer.1.DenseReluDense.wi_1",
    "ffn_down": "layer.1.DenseReluDense.wo",
    "ffn_norm": "layer.1.layer_norm",
}


def network_name(name: str, architecture: str) -> str:
    """Return the name under which a network knows a tensor of a file of that architecture."""
    if architecture not in T5:
        return name
    module, _, leaf = name.rpartition(".")
    if module in T5_TOP:
        return f"{T5_TOP[module]}.{leaf}"
    block = T5_BLOCK.fullmatch(name)
    if block is None or block[2] not in T5_PARTS:
        return name
    return f"encoder.block.{block[1]}.{T5_PARTS[block[2]]}.{block[3]}"
