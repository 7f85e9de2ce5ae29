"""T5: texts are cut, padded, weighed and encoded as Stable Diffusion 3 and Flux were trained."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import torch
from transformers import T5EncoderModel

from libs.core.errors import Refused
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.t5_tower import tokenizer_of
from libs.diffusion.loader.text import TowerPlace
from libs.diffusion.text.t5 import T5Kind, encode_t5
from libs.diffusion.text.t5_network import T5Network, t5_shape
from libs.text.sentencepiece import from_gguf, from_sentencepiece
from libs.text.t5_tokenizer import T5Tokenizer, usual_tokenizer
from tests.unit.libs.diffusion import layouts, tiny

PLACE = TowerPlace("", "t5", "t5xxl")


@pytest.fixture(scope="module")
def pair() -> tuple[T5Network, T5EncoderModel]:
    """Return our network and transformers' with the same numbers."""
    torch.manual_seed(4)
    theirs = layouts.t5(32)
    tensors = layouts.t5_tensors(theirs)
    shape = t5_shape({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    ours = T5Network(shape, T5Tokenizer(layouts.word_tokenizer()))
    ours.load_state_dict(tensors)
    return ours, theirs


def ids(*words: str, length: int) -> torch.Tensor:
    pieces = [piece for piece, _ in layouts.word_pieces()]
    numbers = [pieces.index(f"▁{word}") for word in words] + [1]
    return torch.tensor([numbers + [0] * (length - len(numbers))])


def reference(theirs: T5EncoderModel, tokens: torch.Tensor) -> Any:
    with torch.no_grad():
        return theirs(tokens).last_hidden_state


def test_the_network_computes_what_transformers_does(pair):
    ours, theirs = pair
    tokens = torch.randint(0, 40, (2, 150), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(ours(tokens), reference(theirs, tokens), atol=1e-5)


@pytest.mark.covers("R128")
@pytest.mark.parametrize(("least", "length"), [(77, 77), (256, 256), (1, 3)])
def test_a_text_ends_with_its_mark_and_is_filled_up(pair, least, length):
    ours, theirs = pair
    encoded = encode_t5(ours, T5Kind(least), "red fox")
    assert encoded.context.shape == (1, length, 32)
    wanted = reference(theirs, ids("red", "fox", length=length))
    assert torch.allclose(encoded.context, wanted, atol=1e-5)


def test_a_long_text_is_never_cut_unless_told(pair):
    ours = pair[0]
    long = " ".join(["red fox"] * 100)
    assert encode_t5(ours, T5Kind(77), long).context.shape[1] == 201
    assert encode_t5(ours, T5Kind(77, tokens_max=120), long).context.shape[1] == 120


def test_a_weighted_token_moves_away_from_the_empty_texts_in_its_place(pair):
    ours, theirs = pair
    encoded = encode_t5(ours, T5Kind(5), "red(fox:1.5)").context
    plain = reference(theirs, ids("red", "fox", length=5))
    empty = reference(theirs, ids(length=5))
    weights = torch.tensor([1.0, 1.5, 1.0, 1.0, 1.0])[:, None]
    assert torch.allclose(encoded, (plain - empty) * weights + empty, atol=1e-5)
    assert not torch.allclose(encoded[:, 1], plain[:, 1], atol=1e-3)


def test_no_text_is_its_end_alone(pair):
    ours, theirs = pair
    wanted = reference(theirs, torch.tensor([[1]]))
    assert torch.allclose(encode_t5(ours, T5Kind(77), None).context, wanted, atol=1e-5)


def test_weights_in_half_precision_are_computed_with_in_float32(pair):
    """A narrow sum would overflow: the numbers here are too large for it."""
    ours, theirs = pair
    loud = {name: t * 300 if "wo" in name else t for name, t in theirs.state_dict().items()}
    half = T5Network(t5_shape(shapes_of(loud)), ours.tokenizer).half()
    half.load_state_dict({n: t for n, t in loud.items() if "embed_tokens" not in n})
    wide = layouts.t5(32)
    wide.load_state_dict({name: tensor.half().float() for name, tensor in loud.items()})
    tokens = ids("red", "fox", length=9)
    with torch.no_grad():
        computed = half(tokens)
    assert computed.dtype is torch.float32
    assert torch.allclose(computed, reference(wide, tokens), atol=1e-4)


def shapes_of(tensors) -> Any:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def test_another_encoder_is_refused():
    tensors = layouts.t5_tensors(layouts.t5(32, feed_forward_proj="relu", is_gated_act=False))
    with pytest.raises(Refused, match=r"T5 1\.1"):
        t5_shape(shapes_of(tensors))


# The ids that transformers' fast tokenizer gives: it keeps a space at the end, which others drop.
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("a photo of a cat, masterpiece", [3, 9, 1202, 13, 3, 9, 1712, 6, 20975]),
        ("translate English to German", [13959, 1566, 12, 2968]),
        ("  The   house  ", [37, 629, 3]),
    ],
)
def test_the_vocabulary_that_ships_is_t5s(text, wanted):
    tokenizer = usual_tokenizer()
    assert tokenizer(text) == wanted
    assert (tokenizer.end, tokenizer.pad, tokenizer.size) == (1, 0, 32100)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def sentencepiece_model() -> bytes:
    """Return a SentencePiece file of the test's words, written field by field."""
    out = b""
    for text, score in layouts.word_pieces():
        piece = field(1, text.encode()) + b"\x15" + struct.pack("<f", score)
        if text == "<unk>":
            piece += b"\x18\x02"
        out += field(1, piece)
    trainer = b"\x18\x01" + field(1, b"words.txt")
    return out + field(2, trainer) + field(3, field(1, b"identity"))


def test_a_sentencepiece_file_is_read_without_its_library():
    ours = T5Tokenizer(from_sentencepiece(sentencepiece_model()))
    theirs = T5Tokenizer(layouts.word_tokenizer())
    for text in ("red fox", "an old  house in snow", "xyz", ""):
        assert ours(text) == theirs(text.replace("  ", " ")), text
    assert ours("red fox") != ours("fox red")


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_damaged_sentencepiece_file_is_refused(cut):
    with pytest.raises(Refused):
        from_sentencepiece(sentencepiece_model()[:-cut] + b"\xff\xff")
    with pytest.raises(Refused):
        from_sentencepiece(b"")


def test_a_gguf_file_brings_its_vocabulary():
    pieces = layouts.word_pieces()
    facts = {
        "tokenizer.ggml.tokens": [text for text, _ in pieces],
        "tokenizer.ggml.scores": [score for _, score in pieces],
        "tokenizer.ggml.unknown_token_id": 2,
    }
    found = from_gguf(facts)
    assert found is not None
    assert T5Tokenizer(found)("red fox") == T5Tokenizer(layouts.word_tokenizer())("red fox")
    assert from_gguf({"general.architecture": "flux"}) is None


@pytest.fixture
def file(tmp_path) -> Any:
    path = tmp_path / "text_encoders" / "t5xxl_fp16.safetensors"
    return WeightsFile.open(tiny.written(path, {"shared.weight": torch.zeros(64, 4)}))


def test_a_tokenizer_beside_the_weights_counts_before_the_usual_one(file):
    assert tokenizer_of(file, PLACE, 32128) is usual_tokenizer()
    folder = file.path.parent
    (folder.parent / "tokenizers").mkdir()
    for path, words in (
        (folder.parent / "tokenizers" / "spiece.model", sentencepiece_model()),
        (folder / "tokenizer.json", layouts.word_tokenizer().to_str().encode()),
        (folder / "t5xxl_fp16.spiece.model", sentencepiece_model()),
    ):
        path.write_bytes(words)
        assert tokenizer_of(file, PLACE, 64).size == 40
        path.unlink()


def test_a_tokenizer_inside_the_weights_counts_most(tmp_path):
    model = torch.frombuffer(bytearray(sentencepiece_model()), dtype=torch.uint8)
    path = tmp_path / "t5.safetensors"
    tiny.written(path, {"spiece_model": model}, torch.uint8)
    (tmp_path / "tokenizer.json").write_text("damaged")
    assert tokenizer_of(WeightsFile.open(path), PLACE, 64).size == 40


def test_a_tokenizer_that_does_not_fit_is_refused_with_what_to_do(file):
    with pytest.raises(Refused, match=r"tokenizer\.json") as refused:
        tokenizer_of(file, PLACE, 64)
    assert refused.value.facts["tokens"] == 32100
    (file.path.parent / "tokenizer.json").write_text("{}")
    with pytest.raises(Refused, match="damaged"):
        tokenizer_of(file, PLACE, 64)


def test_a_tokenizer_of_another_kind_is_refused(file):
    words = layouts.word_tokenizer().to_str().replace("</s>", "<|end|>")
    (file.path.parent / "tokenizer.json").write_text(words)
    with pytest.raises(Refused, match="not one of T5"):
        tokenizer_of(file, PLACE, 64)
