"""The file is Stable Diffusion's single-file layout, written out here by hand."""

import torch
from safetensors.torch import load_file

from libs.text.tokenizer import END, START, tokenizer
from training.export import FOLDER, NAME
from training.ldm import single_file
from training.networks import (
    TEXT_POSITIONS,
    TEXT_WIDTH,
    build_text_encoder,
    build_unet,
    build_vae,
    norm_groups,
)
from training.tokens import TOKENS

BOTH = ("weight", "bias")
SHIPPED = FOLDER / f"{NAME}.safetensors"


def both(*names: str) -> set[str]:
    return {f"{name}.{part}" for name in names for part in BOTH}


def unet_residual(at: str, *, widens: bool) -> set[str]:
    names = both(*(f"{at}.{part}" for part in ("in_layers.0", "in_layers.2", "emb_layers.1")))
    names |= both(f"{at}.out_layers.0", f"{at}.out_layers.3")
    return names | (both(f"{at}.skip_connection") if widens else set())


def unet_attention(at: str) -> set[str]:
    block = f"{at}.transformer_blocks.0"
    names = both(f"{at}.norm", f"{at}.proj_in", f"{at}.proj_out")
    names |= both(*(f"{block}.norm{number}" for number in (1, 2, 3)))
    names |= both(f"{block}.ff.net.0.proj", f"{block}.ff.net.2")
    for attention in ("attn1", "attn2"):
        names |= {f"{block}.{attention}.to_{part}.weight" for part in "qkv"}
        names |= both(f"{block}.{attention}.to_out.0")
    return names


def unet_names() -> set[str]:
    names = both("time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2")
    names |= unet_residual("input_blocks.1.0", widens=False) | unet_attention("input_blocks.1.1")
    names |= both("input_blocks.2.0.op")
    names |= unet_residual("input_blocks.3.0", widens=True) | unet_attention("input_blocks.3.1")
    names |= unet_residual("middle_block.0", widens=False) | unet_attention("middle_block.1")
    names |= unet_residual("middle_block.2", widens=False)
    for block in range(4):
        names |= unet_residual(f"output_blocks.{block}.0", widens=True)
        names |= unet_attention(f"output_blocks.{block}.1")
    return names | both("output_blocks.1.2.conv")


def vae_residual(at: str, *, widens: bool) -> set[str]:
    names = both(*(f"{at}.{part}" for part in ("norm1", "conv1", "norm2", "conv2")))
    return names | (both(f"{at}.nin_shortcut") if widens else set())


def vae_names() -> set[str]:
    names = both("quant_conv", "post_quant_conv")
    for side in ("encoder", "decoder"):
        names |= both(f"{side}.conv_in", f"{side}.norm_out", f"{side}.conv_out")
        names |= vae_residual(f"{side}.mid.block_1", widens=False)
        names |= vae_residual(f"{side}.mid.block_2", widens=False)
        attention = f"{side}.mid.attn_1"
        names |= both(*(f"{attention}.{part}" for part in ("norm", "q", "k", "v", "proj_out")))
    for level in range(4):
        names |= vae_residual(f"encoder.down.{level}.block.0", widens=level in (1, 2))
        names |= vae_residual(f"decoder.up.{level}.block.0", widens=level in (0, 1))
        names |= vae_residual(f"decoder.up.{level}.block.1", widens=False)
    names |= both(*(f"encoder.down.{level}.downsample.conv" for level in (0, 1, 2)))
    return names | both(*(f"decoder.up.{level}.upsample.conv" for level in (1, 2, 3)))


def text_names() -> set[str]:
    names = {f"embeddings.{kind}_embedding.weight" for kind in ("token", "position")}
    for layer in (0, 1):
        at = f"encoder.layers.{layer}"
        attention = (
            f"{at}.self_attn.{part}" for part in ("q_proj", "k_proj", "v_proj", "out_proj")
        )
        names |= both(*attention, f"{at}.layer_norm1", f"{at}.layer_norm2")
        names |= both(f"{at}.mlp.fc1", f"{at}.mlp.fc2")
    return names | both("final_layer_norm")


def expected() -> set[str]:
    names = {f"model.diffusion_model.{name}" for name in unet_names()}
    names |= {f"first_stage_model.{name}" for name in vae_names()}
    return names | {f"cond_stage_model.transformer.text_model.{name}" for name in text_names()}


def test_the_exporter_writes_exactly_the_names_of_the_layout():
    networks = (build_unet(), build_vae(), build_text_encoder(9))
    assert set(single_file(*(network.state_dict() for network in networks))) == expected()


def test_the_shipped_file_has_these_names_and_the_mark_of_velocity_prediction():
    assert set(load_file(SHIPPED)) == expected() | {"v_pred"}


def test_the_shipped_file_is_in_half_precision_and_finite():
    for name, value in load_file(SHIPPED).items():
        assert value.dtype == torch.float16, name
        assert torch.isfinite(value).all(), name


def test_attention_of_the_codec_is_stored_as_convolutions():
    weight = load_file(SHIPPED)["first_stage_model.decoder.mid.attn_1.q.weight"]
    assert weight.shape == (64, 64, 1, 1)


def test_clips_whole_vocabulary_is_in_the_file_and_strange_words_are_one_and_the_same():
    prefix = "cond_stage_model.transformer.text_model.embeddings"
    tensors = load_file(SHIPPED)
    words = tensors[f"{prefix}.token_embedding.weight"]
    assert words.shape == (TOKENS, TEXT_WIDTH)
    assert tensors[f"{prefix}.position_embedding.weight"].shape == (TEXT_POSITIONS, TEXT_WIDTH)
    strange, stranger, known = (words[tokenizer()(w)[0]] for w in ("bulldozer", "jazz", "cat"))
    assert torch.equal(strange, stranger)
    assert not torch.equal(strange, known)
    assert not torch.equal(words[START], words[END])


def test_norm_groups_follow_the_narrowest_level_and_are_those_of_the_published_models():
    assert norm_groups((320, 640, 1280, 1280)) == norm_groups((128, 256, 512, 512)) == 32
    assert norm_groups((16, 32, 64, 64)) == 4
    assert norm_groups((64, 128)) == 16
