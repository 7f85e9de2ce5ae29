"""Training can be stopped and resumed, and its small parts keep their promises."""

import argparse
from pathlib import Path

import pytest
import torch

from libs.text.tokenizer import END, START
from training.export import LATENT_SCALE, full_embedding, scaled_codec
from training.loop import Average, Training, learning_rate
from training.networks import build_vae
from training.tokens import TOKENS, CompactVocabulary
from training.upscaler import HALF_PRECISION, UnknownFormat, tensors


def options(path: Path, *, minutes: float, resume: bool = False) -> argparse.Namespace:
    return argparse.Namespace(out=path, lr=0.1, batch=1, minutes=minutes, resume=resume)


def test_the_learning_rate_rises_shortly_and_then_only_falls():
    rates = [learning_rate(step / 100, 1.0) for step in range(101)]
    peak = rates.index(max(rates))
    assert peak == 3
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0.02)


def test_swapping_in_the_average_twice_changes_nothing():
    layer = torch.nn.Linear(2, 2)
    average = Average(layer.parameters())
    with torch.no_grad():
        layer.weight.add_(1)
    before = layer.weight.clone()
    average.update()
    average.swap()
    assert not torch.equal(layer.weight, before)
    average.swap()
    assert torch.equal(layer.weight, before)


def test_a_stopped_training_goes_on_where_it_was(tmp_path):
    def loss_of(_step: int, _progress: float) -> tuple[torch.Tensor, float]:
        loss = layer(torch.ones(1, 2)).pow(2).sum()
        return loss, loss.item()

    layer = torch.nn.Linear(2, 2)
    first = Training(layer, options(tmp_path / "x.pt", minutes=0.003))
    first.run(loss_of, {"known": [1]})
    learned = layer.weight.detach().clone()
    layer = torch.nn.Linear(2, 2)
    second = Training(layer, options(tmp_path / "x.pt", minutes=0.003, resume=True))
    assert torch.equal(layer.weight, learned)
    assert second.step == first.step > 0
    assert second.clock.progress() >= 1


def test_a_compact_vocabulary_frames_text_and_gathers_strange_words_in_one_row():
    vocabulary = CompactVocabulary([500, 7, START, END])
    assert vocabulary.known == [7, 500]
    assert [vocabulary.row(token) for token in (7, 500, 9999)] == [0, 1, vocabulary.unknown]
    line = vocabulary.line([0, 1])
    assert line[:5] == [vocabulary.start, 0, 1, vocabulary.end, vocabulary.end]
    assert len(line) == 77


def test_learned_rows_are_spread_over_clips_vocabulary():
    vocabulary = CompactVocabulary([7, 500])
    small = torch.arange(vocabulary.size).float().view(-1, 1)
    full = full_embedding(small, vocabulary)
    assert full.shape == (TOKENS, 1)
    assert full[[7, 500, 8, START, END], 0].tolist() == [0, 1, 2, 3, 4]


def test_moving_mean_and_deviation_into_the_codec_changes_latents_but_no_picture():
    torch.manual_seed(0)
    plain, scaled = build_vae().eval(), build_vae().eval()
    mean, deviation = torch.rand(1, 4, 1, 1), torch.rand(1, 4, 1, 1) + 0.5
    scaled.load_state_dict(scaled_codec(plain.state_dict(), mean, deviation))
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        latent, moved = (vae.encode(picture).latent_dist.mean for vae in (plain, scaled))
        shown, again = plain.decode(latent).sample, scaled.decode(moved).sample
    torch.testing.assert_close(moved * LATENT_SCALE, (latent - mean) / deviation)
    torch.testing.assert_close(shown, again, rtol=1e-3, atol=1e-4)


PARAM = """7767517
2 2
Convolution conv 1 1 data a 0=1 1=3 5=1 6=9
PReLU act 1 1 a b 0=1
"""


def test_ncnn_layers_are_read_in_order_in_either_precision():
    bias, slope = b"\0\0\0\x3f", b"\0\0\x80\x3e"
    whole = (0).to_bytes(4, "little") + b"\0\0\x80\x3f" * 9 + bias + slope
    half = HALF_PRECISION.to_bytes(4, "little") + b"\0\x3c" * 9 + b"\0\0" + bias + slope
    for data in (whole, half):
        found = tensors(PARAM, data)
        assert list(found) == ["body.0.weight", "body.0.bias", "body.1.weight"]
        assert found["body.0.weight"].tolist() == [[[[1.0] * 3] * 3]]
        assert (found["body.0.bias"].item(), found["body.1.weight"].item()) == (0.5, 0.25)


def test_ncnn_files_of_another_kind_are_refused():
    with pytest.raises(UnknownFormat, match="unknown tag 0x7"):
        tensors(PARAM, (7).to_bytes(4, "little"))
    with pytest.raises(UnknownFormat, match="holds more"):
        tensors("1\n0 0\n", b"rest")
