"""SDXL: two text encoders side by side, a summary, and the sizes that go with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from libs.core.errors import Refused
from libs.diffusion.values import Latents
from libs.sampling.conditioning import Conditioning, Entry
from libs.text.tokenizer import END, START, tokenizer
from tests.unit.libs.diffusion import tiny


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Any:
    path = tiny.written(tmp_path_factory.mktemp("sdxl") / "tiny.safetensors", tiny.sdxl())
    return tiny.loader().checkpoint(path)


def sample(model, positive, negative, latent, **changed) -> Any:
    given = {"seed": 1, "steps": 2, "cfg": 5.0, "sampler": "euler_ancestral", "scheduler": "karras"}
    return model.sample(
        latent, positive=positive, negative=negative, on_step=tiny.no_step, **(given | changed)
    )


@pytest.mark.covers("R100", "R120")
def test_a_checkpoint_of_sdxls_layout_loads_and_samples(parts):
    model, clip, vae = parts
    latent = Latents(torch.zeros(2, 4, 16, 8))
    end = sample(model, clip.encode("a fox"), clip.encode(""), latent)
    assert end.samples.shape == (2, 4, 16, 8)
    assert end.samples.isfinite().all()
    assert vae.decode(end).pixels.shape == (2, 128, 64, 3)


def test_both_encoders_stop_before_their_last_layer_and_its_norm(parts):
    clip = parts[1]
    entry = clip.encode("a fox").entries[0]
    small, large = (tower.network.get() for tower in clip.towers)
    words = tokenizer()("a fox")
    padded = {END: [START, *words] + [END] * 74, 0: [START, *words, END] + [0] * 73}
    states = [
        network.text(torch.tensor([padded[pad]]), output_hidden_states=True)
        for network, pad in ((small, END), (large, 0))
    ]
    wanted = torch.cat([output.hidden_states[-2] for output in states], -1)
    assert entry.context.shape == (1, 77, 64 + 128)
    assert torch.allclose(entry.context, wanted, atol=1e-5)


def test_the_summary_is_the_projected_end_of_the_second_encoder(parts):
    clip = parts[1]
    large = clip.towers[1].network.get()
    words = tokenizer()("a fox")
    tokens = torch.tensor([[START, *words, END] + [0] * 73])
    last = large.text(tokens).last_hidden_state
    wanted = (
        last[:, 1 + len(words)]
        @ tiny.sdxl()["conditioner.embedders.1.model.text_projection"].half().float()
    )
    assert torch.allclose(clip.encode("a fox").entries[0].pooled, wanted, atol=1e-4)


def test_a_long_text_is_summed_up_by_its_first_chunk(parts):
    clip = parts[1]
    long = " ".join(["fox"] * 100)
    entry = clip.encode(long).entries[0]
    assert entry.context.shape == (1, 154, 192)
    assert torch.allclose(entry.pooled, clip.encode(" ".join(["fox"] * 75)).entries[0].pooled)


def test_the_sizes_are_those_of_the_picture(parts):
    model = parts[0]
    latent = torch.zeros(1, 4, 128, 96)
    entry = Entry(torch.zeros(1, 77, 192), pooled=torch.ones(1, 128))
    given = model.architecture.extras(entry, True, latent, None)
    assert given["time_ids"].tolist() == [[1024.0, 768.0, 0.0, 0.0, 1024.0, 768.0]]
    assert given["text_embeds"].tolist() == [[1.0] * 128]


def test_the_summary_and_the_size_reach_the_network(parts):
    model, clip, _ = parts
    latent = Latents(torch.zeros(1, 4, 8, 8))
    text = clip.encode("a fox")
    other = Conditioning((Entry(text.entries[0].context, text.entries[0].pooled * -3),))
    ends = [sample(model, one, one, latent, cfg=1.0).samples for one in (text, other)]
    assert not torch.allclose(ends[0], ends[1])


def test_a_text_without_summary_is_refused(parts):
    bare = Conditioning((Entry(torch.zeros(1, 77, 192)),))
    with pytest.raises(Refused, match="SDXL text encoder"):
        sample(parts[0], bare, bare, Latents(torch.zeros(1, 4, 8, 8)))


def test_a_refiner_wants_a_score_for_each_side(tmp_path):
    path = tiny.written(tmp_path / "refiner.safetensors", tiny.refiner())
    model, clip, _ = tiny.loader().checkpoint(path)
    latent, extras = torch.zeros(1, 4, 128, 128), model.architecture.extras
    entry = clip.encode("a fox").entries[0]
    assert extras(entry, True, latent, None)["time_ids"].tolist() == [
        [1024.0, 1024.0, 0.0, 0.0, 6.0]
    ]
    assert extras(entry, False, latent, None)["time_ids"].tolist() == [
        [1024.0, 1024.0, 0.0, 0.0, 2.5]
    ]
    end = sample(model, clip.encode("a fox"), clip.encode(""), Latents(torch.zeros(1, 4, 8, 8)))
    assert end.samples.isfinite().all()
