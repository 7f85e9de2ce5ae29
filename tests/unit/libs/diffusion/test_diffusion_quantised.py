"""Flux and T5 in quantised files compute what their unpacked twins compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from libs.diffusion.values import Latents
from libs.nodes.registry import load
from libs.sampling.conditioning import Conditioning, Entry
from tests.unit.libs.diffusion import layouts, tiny
from tests.unit.libs.diffusion.quantised import write_gguf
from tests.unit.libs.nodes.fakes import FakeContext

TYPES: Any = load()
T5_NAMES = {
    "shared": "token_embd",
    "encoder.final_layer_norm": "enc.output_norm",
    "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b",
    "layer.0.SelfAttention.q": "attn_q",
    "layer.0.SelfAttention.k": "attn_k",
    "layer.0.SelfAttention.v": "attn_v",
    "layer.0.SelfAttention.o": "attn_o",
    "layer.0.layer_norm": "attn_norm",
    "layer.1.DenseReluDense.wi_0": "ffn_gate",
    "layer.1.DenseReluDense.wi_1": "ffn_up",
    "layer.1.DenseReluDense.wo": "ffn_down",
    "layer.1.layer_norm": "ffn_norm",
}


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


class Context(FakeContext):
    """A context whose weights lie in one folder."""

    root: Any = None

    def weights(self, folder: str, name: str) -> Any:
        return self.root / folder / name


def context(root) -> Any:
    made = Context(loader=tiny.loader())
    made.root = root
    return made


def quantised(kind: str) -> Any:
    def choose(_name: str, tensor: torch.Tensor) -> str:
        whole = tensor.ndim == 2 and tensor.shape[1] % 32 == 0 and tensor.numel() > 4096
        return kind if whole else "F32"

    return choose


def sample(model, guidance: float = 3.5) -> Any:
    entry = Entry(numbers(1, 9, 4096), numbers(1, 64)).with_extras(guidance=guidance)
    text = Conditioning((entry,))
    return model.sample(
        Latents(torch.zeros(1, 16, 4, 4)), positive=text, negative=text, seed=1, steps=2, cfg=1.0,
        sampler="euler", scheduler="simple", on_step=tiny.no_step,
    ).samples  # fmt: skip


@pytest.mark.covers("R112")
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "BF16"])
def test_flux_in_gguf_paints_what_its_unpacked_twin_paints(tmp_path, kind):
    tensors = layouts.flux_tensors(layouts.flux())
    packed = tmp_path / "diffusion_models/flux1-dev.gguf"
    packed.parent.mkdir()
    twins = write_gguf(packed, tensors, quantised(kind), "flux")
    tiny.written(tmp_path / "diffusion_models/twin.safetensors", twins, torch.float32)
    model = TYPES["UnetLoaderGGUF"](context(tmp_path), unet_name="flux1-dev.gguf")
    twin = TYPES["UNETLoader"](
        context(tmp_path), unet_name="twin.safetensors", weight_dtype="default"
    )
    assert model.architecture.name == "flux_dev"
    assert torch.allclose(sample(model), sample(twin), atol=1e-4)
    assert not torch.allclose(sample(model), sample(model, guidance=9.0), atol=1e-3)
    if kind != "BF16":
        sizes = [sum(p.nbytes for p in m.network.get().parameters()) for m in (model, twin)]
        assert sizes[0] < sizes[1] / 3


def gguf_name(name: str) -> str:
    stem, _, leaf = name.rpartition(".")
    if stem in T5_NAMES:
        return f"{T5_NAMES[stem]}.{leaf}"
    _, _, number, inner = stem.split(".", 3)
    return f"enc.blk.{number}.{T5_NAMES[inner]}.{leaf}"


@pytest.mark.covers("R112")
def test_t5_in_gguf_says_what_its_unpacked_twin_says(tmp_path):
    torch.manual_seed(5)
    folder = tmp_path / "text_encoders"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(layouts.word_tokenizer().to_str())
    named = {gguf_name(n): t for n, t in layouts.t5_tensors(layouts.t5()).items()}
    twins = write_gguf(folder / "t5xxl.gguf", named, quantised("Q8_0"), "t5encoder")
    plain = {name: twins[gguf_name(name)] for name in layouts.t5_tensors(layouts.t5())}
    tiny.written(folder / "twin.safetensors", plain, torch.float32)
    found = TYPES["CLIPLoaderGGUF"](context(tmp_path), clip_name="t5xxl.gguf", type="sd3")
    twin = TYPES["CLIPLoader"](context(tmp_path), clip_name="twin.safetensors", type="sd3")
    ours, theirs = (one.encode("red (fox:1.3)").entries[0].context for one in (found, twin))
    # The twin is kept in half precision.
    assert torch.allclose(ours, theirs, atol=0.02)
    assert theirs.std() > 0.1


def test_t5_in_fp8_says_what_its_widened_twin_says(tmp_path):
    torch.manual_seed(6)
    folder = tmp_path / "text_encoders"
    tensors = layouts.t5_tensors(layouts.t5())
    narrow = {name: t.to(torch.float8_e4m3fn) for name, t in tensors.items()}
    wide = {name: t.half() for name, t in narrow.items()}
    for name, held in (("t5xxl_fp8_e4m3fn", narrow), ("wide", wide)):
        dtype = torch.float8_e4m3fn if held is narrow else torch.float16
        tiny.written(folder / f"{name}.safetensors", held, dtype)
    (folder / "tokenizer.json").write_text(layouts.word_tokenizer().to_str())
    encoded = [
        TYPES["CLIPLoader"](context(tmp_path), clip_name=f"{name}.safetensors", type="sd3")
        .encode("red fox").entries[0].context
        for name in ("t5xxl_fp8_e4m3fn", "wide")
    ]  # fmt: skip
    assert torch.allclose(encoded[0], encoded[1], atol=1e-5)
