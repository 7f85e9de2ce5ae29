"""Text encoders out of loose files and checkpoints, put together as each family reads them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.loader.encoders import clip_of
from libs.diffusion.text import reading
from libs.diffusion.text.tower import Encoded
from libs.text.tokenizer import END, START, tokenizer
from tests.unit.libs.diffusion import layouts, tiny

L, G, T = "clip_l.safetensors", "clip_g.safetensors", "t5xxl_fp16.safetensors"


def transformers_names(encoder, projection=None) -> dict[str, torch.Tensor]:
    """Return a CLIP text network as it is downloaded alone."""
    out = {
        f"text_model.{name.removeprefix('text_model.')}": t
        for name, t in encoder.state_dict().items()
    }
    return out if projection is None else out | {"text_projection.weight": projection}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Any:
    """Return the three files that people download for Stable Diffusion 3."""
    root = tmp_path_factory.mktemp("models") / "text_encoders"
    torch.manual_seed(7)
    small, large = tiny.text_encoder(64, 3), tiny.text_encoder(128, 31, "gelu")
    tiny.written(root / L, transformers_names(small, torch.randn(64, 64) / 8))
    tiny.written(root / G, transformers_names(large, torch.randn(128, 128) / 8))
    tiny.written(root / T, layouts.t5_tensors(layouts.t5()))
    (root / "tokenizer.json").write_text(layouts.word_tokenizer().to_str())
    return root


@pytest.fixture(scope="module")
def loader() -> Any:
    return tiny.loader()


def clip(loader, folder, family: str, *names: str) -> Any:
    return loader.text_encoders([folder / name for name in names], family)


def states(encoder, text: str, pad: int) -> Any:
    words = tokenizer()(text)
    tokens = torch.tensor([[START, *words, END] + [pad] * (75 - len(words))])
    with torch.no_grad():
        return encoder.text(tokens, output_hidden_states=True), len(words) + 1


def towers(clip) -> dict[str, Any]:
    return {tower.name: tower for tower in clip.towers}


def test_the_files_are_told_by_what_they_hold(loader, folder):
    for order in ((T, G, L), (L, T, G)):
        found = clip(loader, folder, "sd3", *order)
        assert [tower.name for tower in found.towers] == ["l", "g", "t5xxl"]


@pytest.mark.covers("R128", "P11")
def test_stable_diffusion_3_reads_three_encoders(loader, folder):
    found = clip(loader, folder, "sd3", L, G, T)
    entry = found.encode("red fox").entries[0]
    assert entry.context.shape == (1, 77 + 77, 4096)
    networks = {name: tower.network.get() for name, tower in towers(found).items()}
    small, at = states(networks["l"], "red fox", END)
    large, _ = states(networks["g"], "red fox", 0)
    both = torch.cat([small.hidden_states[-2], large.hidden_states[-2]], -1)
    assert torch.allclose(entry.context[:, :77, : 64 + 128], both, atol=1e-4)
    assert not entry.context[:, :77, 64 + 128 :].any()
    t5 = towers(found)["t5xxl"].encode("red fox").context
    assert torch.equal(entry.context[:, 77:], t5)
    # CLIP-L's summary is not projected, CLIP-G's is.
    assert torch.allclose(entry.pooled[:, :64], small.last_hidden_state[:, at], atol=1e-4)
    projected = networks["g"].projection(large.last_hidden_state[:, at])
    assert torch.allclose(entry.pooled[:, 64:], projected, atol=1e-4)


@pytest.mark.parametrize(
    ("files", "tokens", "zeros"),
    [
        ((L, G), 77, []),
        ((T,), 77, [slice(0, 2048)]),
        ((G, T), 154, [slice(0, 768)]),
        ((L, T), 154, [slice(64, 64 + 1280)]),
    ],
)
def test_an_encoder_that_is_not_there_counts_as_zeros(loader, folder, files, tokens, zeros):
    entry = clip(loader, folder, "sd3", *files).encode("red fox").entries[0]
    assert entry.context.shape == (1, tokens, 4096)
    for part in zeros:
        assert not entry.pooled[:, part].any()
    if files == (G, T):
        assert not entry.context[:, :77, :768].any()
        assert entry.context[:, :77, 768 : 768 + 128].any()


def test_without_any_words_nothing_is_said(loader, folder):
    found = clip(loader, folder, "sd3", L, G, T)
    entry = found.encode_apart({"l": None, "g": None, "t5xxl": None}).entries[0]
    assert entry.context.shape == (1, 1, 4096)
    assert not entry.pooled.any()
    empty = found.encode("").entries[0]
    assert empty.context.shape == (1, 154, 4096)
    assert empty.pooled.any()


@pytest.mark.covers("R133", "P11")
def test_flux_reads_t5_and_the_summary_of_clip(loader, folder):
    found = clip(loader, folder, "flux", T, L)
    entry = found.encode("red fox").entries[0]
    network = towers(found)["l"].network.get()
    small, at = states(network, "red fox", END)
    assert entry.context.shape == (1, 256, 4096)
    assert torch.equal(entry.context, towers(found)["t5xxl"].encode("red fox").context)
    assert torch.allclose(entry.pooled, small.last_hidden_state[:, at], atol=1e-4)


def test_each_encoder_can_have_words_of_its_own(loader, folder):
    found = clip(loader, folder, "flux", T, L)
    base = found.encode("red fox").entries[0]
    other = found.encode_apart({"l": "old house", "t5xxl": "red fox"}).entries[0]
    assert torch.equal(base.context, other.context)
    assert not torch.allclose(base.pooled, other.pooled)
    other = found.encode_apart({"l": "red fox", "t5xxl": "old house"}).entries[0]
    assert torch.equal(base.pooled, other.pooled)
    assert not torch.allclose(base.context, other.context)


@pytest.mark.covers("P11")
def test_sdxl_reads_two_and_a_short_text_is_filled_up_for_a_long_one(loader, folder):
    found = clip(loader, folder, "sdxl", G, L)
    long = " ".join(["fox"] * 100)
    entry = found.encode_apart({"l": "red", "g": long}).entries[0]
    assert entry.context.shape == (1, 154, 64 + 128)
    small, _ = states(towers(found)["l"].network.get(), "", END)
    assert torch.allclose(entry.context[:, 77:, :64], small.hidden_states[-2], atol=1e-4)
    same = found.encode("red fox").entries[0]
    assert torch.equal(
        same.context, found.encode_apart({"l": "red fox", "g": "red fox"}).entries[0].context
    )


@pytest.mark.parametrize(("name", "width", "pooled"), [(L, 64, True), (G, 128, True)])
def test_a_single_encoder_is_that_of_the_family_it_belongs_to(loader, folder, name, width, pooled):
    entry = clip(loader, folder, "stable_diffusion", name).encode("red fox").entries[0]
    assert entry.context.shape == (1, 77, width)
    assert (entry.pooled is not None) is pooled


@pytest.mark.parametrize(
    ("family", "files", "match"),
    [
        ("flux", (G, T), "another kind"),
        ("stable_diffusion", (T,), "another kind"),
        ("wan", (T,), "not read"),
    ],
)
def test_encoders_of_another_family_are_refused(loader, folder, family, files, match):
    with pytest.raises(Refused, match=match):
        clip(loader, folder, family, *files)


def test_a_file_without_text_encoder_is_refused(tmp_path):
    path = tiny.written(tmp_path / "vae.safetensors", tiny.vae_tensors(""))
    with pytest.raises(Refused, match="no text encoder"):
        tiny.loader().text_encoders([path], "sd3")


def test_the_device_of_a_text_encoder_can_be_given(folder):
    found = tiny.loader().text_encoders([folder / L], "stable_diffusion", "cpu")
    assert found.towers[0].network.get().device == torch.device("cpu")


def in_checkpoint(folder, *names: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    out: dict[str, torch.Tensor] = {}
    for name in names:
        stem = {L: "clip_l", G: "clip_g", T: "t5xxl"}[name]
        prefix = f"text_encoders.{stem}.transformer."
        out |= {f"{prefix}{key}": tensor for key, tensor in load_file(folder / name).items()}
    return out


@pytest.mark.covers("R125", "R128", "R129")
def test_a_checkpoint_with_its_encoders_says_what_the_loose_files_say(tmp_path, loader, folder):
    tensors = layouts.sd3_tensors(layouts.sd3()) | layouts.vae16_tensors()
    path = tiny.written(
        tmp_path / "sd3_medium.safetensors", tensors | in_checkpoint(folder, L, G, T)
    )
    (tmp_path / "tokenizer.json").write_text(layouts.word_tokenizer().to_str())
    model, inside, vae = tiny.loader().checkpoint(path)
    loose = clip(loader, folder, "sd3", L, G, T)
    for ours, theirs in zip(
        inside.encode("red fox").entries, loose.encode("red fox").entries, strict=True
    ):
        assert torch.equal(ours.context, theirs.context)
        assert ours.pooled is not None
        assert theirs.pooled is not None
        assert torch.equal(ours.pooled, theirs.pooled)
    assert model.architecture.name == "sd3"
    assert vae.network.get().config["latent_channels"] == 16


@pytest.mark.covers("R133")
def test_a_flux_checkpoint_keeps_its_vae_under_another_name(tmp_path, folder):
    tensors = layouts.flux_tensors(layouts.flux(), layouts.PREFIX) | layouts.vae16_tensors("vae.")
    path = tiny.written(tmp_path / "flux1-dev.safetensors", tensors | in_checkpoint(folder, L, T))
    (tmp_path / "tokenizer.json").write_text(layouts.word_tokenizer().to_str())
    model, inside, vae = tiny.loader().checkpoint(path)
    assert model.architecture.name == "flux_dev"
    assert [tower.name for tower in inside.towers] == ["l", "t5xxl"]
    assert vae.network.get().config["latent_channels"] == 16


def test_a_checkpoint_without_text_encoder_says_so_when_a_text_is_encoded(tmp_path):
    path = tiny.written(tmp_path / "sd3.safetensors", layouts.sd3_tensors(layouts.sd3()))
    clip = tiny.loader().checkpoint(path)[1]
    with pytest.raises(Refused, match="no text encoder"):
        clip.encode("red fox")


def test_encodings_are_joined_by_the_formula():
    l, g, t5 = (torch.randn(1, 77, width) for width in (768, 1280, 4096))  # noqa: E741
    sums = [torch.randn(1, width) for width in (768, 1280)]
    found = {"l": Encoded(l, sums[0]), "g": Encoded(g, sums[1]), "t5xxl": Encoded(t5, None)}
    entry = reading.for_sd3(found)
    clip = functional.pad(torch.cat([l, g], -1), (0, 4096 - 768 - 1280))
    assert torch.equal(entry.context, torch.cat([clip, t5], 1))
    assert entry.pooled is not None
    assert torch.equal(entry.pooled, torch.cat(sums, -1))


def test_a_family_without_files_encodes_nothing(loader):
    with pytest.raises(Refused, match="no text encoder"):
        clip_of(loader.shelf, [], reading.SD3).encode("red fox")
