"""CLIP's byte-pair tokenizer, from the vocabulary beside this file."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Regex, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE

VOCABULARY: Final = Path(__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
START: Final = 49406
END: Final = 49407
MERGES: Final = 49152 - 256 - 2
MARKS: Final = ("<|startoftext|>", "<|endoftext|>")
# Words, contractions, single digits, and runs of anything else (Radford et al. 2021).
PIECES: Final = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
    r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


@cache
def tokenizer() -> Tokenizer:
    """Return the tokenizer, built once."""
    return Tokenizer()


class Tokenizer:
    """Turns text into token ids without start and end marks."""

    def __init__(self) -> None:
        lines = gzip.decompress(VOCABULARY.read_bytes()).decode().split("\n")
        merges = [tuple(line.split()) for line in lines[1 : MERGES + 1]]
        letters = _byte_letters()
        words = letters + [letter + "</w>" for letter in letters]
        words += ["".join(merge) for merge in merges] + list(MARKS)
        vocabulary = {word: number for number, word in enumerate(words)}
        self._backend = Backend(
            BPE(
                vocab=vocabulary,
                merges=[(left, right) for left, right in merges],
                unk_token=MARKS[1],
                continuing_subword_prefix="",
                end_of_word_suffix="</w>",
            )
        )
        self._backend.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self._backend.add_special_tokens(
            [AddedToken(mark, normalized=False, special=True) for mark in MARKS]
        )

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids


def _byte_letters() -> list[str]:
    """Return a visible letter for each byte: its own if it has one, else one past 255."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(code) for code in visible] + [chr(256 + n) for n in range(256 - len(visible))]
