"""Texts become weighted chunks of tokens, and tokens become what a network reads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from libs.core.errors import Refused
from libs.text.chunks import CHUNK, Token, chunks, empty_chunk
from libs.text.segments import DEPTH_MAX, segments
from libs.text.tokenizer import END, START, tokenizer
from tests.unit.libs.diffusion import tiny


def pieces(text) -> Any:
    return [(segment.text, pytest.approx(segment.weight)) for segment in segments(text)]


def words(count, prefix="") -> Any:
    """Return that many one-token words."""
    return prefix + " ".join(["fox"] * count)


def ids(text) -> Any:
    return [[token.id for token in chunk] for chunk in chunks(text, tokenizer(), END)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a fox", [("a fox", 1.0)]),
        ("", []),
        ("a (red:1.4) fox", [("a ", 1.0), ("red", 1.4), (" fox", 1.0)]),
        ("(red)", [("red", 1.1)]),
        ("((red))", [("red", 1.21)]),
        ("(a (b:1.5) c:0.5)", [("a ", 0.5), ("b", 1.5), (" c", 0.5)]),
        ("(a: b)", [("a: b", 1.1)]),
        ("(:1.5)", [(":1.5", 1.1)]),
        (r"a \(plain\) fox", [("a (plain) fox", 1.0)]),
        ("open (end", [("open ", 1.0), ("(end", 1.0)]),
        ("close) end", [("close) end", 1.0)]),
        ("(neg:-1)", [("neg", -1.0)]),
        ("(a:nan) (b:inf)", [("a:nan", 1.1), (" ", 1.0), ("b:inf", 1.1)]),
        ("(a (b)", [("a ", 1.1), ("(b", 1.1)]),
    ],
)
def test_parentheses_weigh(text, wanted):
    assert pieces(text) == wanted


def test_parentheses_nested_beyond_sense_are_refused():
    with pytest.raises(Refused) as refused:
        segments("(" * 5000 + "fox" + ")" * 5000)
    assert refused.value.facts == {"field": "text", "maximum": DEPTH_MAX}


def test_the_tokenizer_knows_clips_words():
    tokenize = tokenizer()
    assert tokenize("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert tokenize("Hello,  WORLD!") == [3306, 267, 1002, 256]
    assert tokenize("") == []


def test_a_short_text_is_one_padded_chunk():
    assert ids("fox") == [[START, *tokenizer()("fox")] + [END] * (CHUNK - 2)]
    assert ids("") == [[START] + [END] * (CHUNK - 1)]
    assert [token.id for token in empty_chunk(0)] == [START, END] + [0] * (CHUNK - 2)


def test_a_long_text_is_cut_where_the_chunk_ends():
    long = ids(words(100))
    fox = tokenizer()("fox")[0]
    assert [len(chunk) for chunk in long] == [CHUNK, CHUNK]
    assert long[0] == [START] + [fox] * 75 + [END]
    assert long[1] == [START] + [fox] * 25 + [END] * 51
    assert len(ids(words(75))) == 1
    assert len(ids(words(76))) == 2


def test_a_short_segment_moves_to_the_next_chunk_whole():
    text = words(72) + " (cat cat cat cat cat:1.3)"
    first, second = chunks(text, tokenizer(), END)
    cat = tokenizer()("cat")[0]
    assert all(token.id != cat for token in first)
    assert second[1:6] == (Token(cat, 1.3),) * 5
    assert [token.id for token in first[73:]] == [END] * 4


def test_a_long_segment_is_cut_even_if_it_is_weighted():
    first, second = chunks(words(72) + " (" + words(8) + ":1.3)", tokenizer(), END)
    assert [token.weight for token in first[73:76]] == [1.3] * 3
    assert [token.weight for token in second[1:6]] == [1.3] * 5


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Any:
    path = tiny.written(tmp_path_factory.mktemp("clip") / "tiny.safetensors", tiny.sd1())
    return tiny.loader().checkpoint(path)[1]


def encoded(clip, text) -> Any:
    return clip.encode(text).entries[0].context


@pytest.mark.covers("R101")
def test_a_text_is_encoded_in_chunks_side_by_side(clip):
    assert encoded(clip, "a fox").shape == (1, 77, 64)
    assert encoded(clip, words(100)).shape == (1, 154, 64)
    assert encoded(clip, "").dtype is torch.float32
    assert clip.encode("a fox").entries[0].pooled is None


def test_a_weight_moves_a_token_away_from_the_empty_text(clip):
    plain, empty = encoded(clip, "a red fox"), encoded(clip, "")
    weighted = encoded(clip, "a (red:1.5) fox")
    red = 2
    wanted = empty[:, red] + (plain[:, red] - empty[:, red]) * 1.5
    assert torch.allclose(weighted[:, red], wanted, atol=1e-5)
    assert torch.allclose(weighted[:, 3], plain[:, 3], atol=1e-5)
    assert torch.allclose(encoded(clip, "a (red:1.0) fox"), plain, atol=1e-6)


def test_stopping_earlier_keeps_the_final_norm(clip):
    network = clip.towers[0].network.get()
    tokens = torch.tensor(ids("a fox"))
    states = network.text(tokens, output_hidden_states=True).hidden_states
    wanted = network.text.final_layer_norm(states[-2])
    assert torch.allclose(encoded(clip.stopping_at(-2), "a fox"), wanted, atol=1e-6)
    assert torch.equal(encoded(clip.stopping_at(-1), "a fox"), encoded(clip, "a fox"))
    assert torch.equal(encoded(clip.stopping_at(-24), "a fox"), encoded(clip, "a fox"))
