"""SentencePiece model files: the unigram vocabulary in one, as a tokenizer.

Only what a tokenizer needs is read out of the protocol buffer; nothing in it can run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import Unigram

from libs.core.errors import Refused

# Fields of ModelProto, of its pieces and of its NormalizerSpec.
PIECES: Final = 1
NORMALIZER: Final = 3
PIECE_TEXT: Final = 1
PIECE_SCORE: Final = 2
PIECE_KIND: Final = 3
CHARACTERS: Final = 2

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
GOES_ON: Final = 0x80
UNKNOWN_KIND: Final = 2

Piece = tuple[str, float]


def from_sentencepiece(data: bytes) -> Tokenizer:
    """Return the tokenizer in a SentencePiece file; raise Refused if it is none."""
    pieces: list[Piece] = []
    unknown: int | None = None
    characters = b""
    try:
        for number, value in _fields(data):
            if number == PIECES:
                text, score, kind = _piece(value)
                if kind == UNKNOWN_KIND:
                    unknown = len(pieces)
                pieces.append((text, score))
            elif number == NORMALIZER:
                characters = dict(_fields(value)).get(CHARACTERS, b"")
    except (IndexError, struct.error, UnicodeDecodeError, TypeError, ValueError) as error:
        raise Refused("the SentencePiece model is damaged", reason=str(error)) from error
    return unigram(pieces, unknown, characters)


def from_gguf(facts: Mapping[str, Any]) -> Tokenizer | None:
    """Return the tokenizer that a GGUF file's head describes, None if it has none."""
    tokens = facts.get("tokenizer.ggml.tokens")
    scores = facts.get("tokenizer.ggml.scores")
    if tokens is None or scores is None:
        return None
    pieces = [(str(text), float(score)) for text, score in zip(tokens, scores, strict=True)]
    unknown = facts.get("tokenizer.ggml.unknown_token_id")
    charsmap = facts.get("tokenizer.ggml.precompiled_charsmap")
    characters = bytes(byte & 0xFF for byte in charsmap) if charsmap is not None else b""
    return unigram(pieces, None if unknown is None else int(unknown), characters)


def unigram(pieces: Sequence[Piece], unknown: int | None, characters: bytes) -> Tokenizer:
    """Return a tokenizer of pieces and scores; `characters` says how letters are normalised."""
    if not pieces or unknown is None:
        raise Refused("the tokenizer holds no vocabulary with a mark for unknown words")
    tokenizer = Tokenizer(Unigram(list(pieces), unk_id=unknown, byte_fallback=False))
    steps: list[Any] = [normalizers.Precompiled(characters)] if characters else []
    steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def _piece(data: bytes) -> tuple[str, float, int]:
    fields = dict(_fields(data))
    (score,) = struct.unpack("<f", fields.get(PIECE_SCORE, bytes(4)))
    return fields[PIECE_TEXT].decode(), float(score), fields.get(PIECE_KIND, 1)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a protocol buffer."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(wire, 0)
        if wire == BYTES:
            size, at = _varint(data, at)
        elif not size:
            raise ValueError(f"there is no wire type {wire}")
        if at + size > len(data):
            raise ValueError("it ends before its last field does")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & ~GOES_ON) << shift
        at, shift = at + 1, shift + 7
        if not byte & GOES_ON:
            return value, at
