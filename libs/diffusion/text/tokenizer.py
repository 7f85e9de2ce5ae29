"""CLIP's byte-pair tokenizer, from the vocabulary beside this file."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

VOCABULARY = Path(__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
START = 49406
END = 49407
MERGES = 49152 - 256 - 2


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
        words += ["".join(merge) for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
        self._clip: Any = CLIPTokenizer(
            vocab={word: number for number, word in enumerate(words)}, merges=merges
        )

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = self._clip(text)["input_ids"]
        return ids[1:-1]


def _byte_letters() -> list[str]:
    """Return a visible letter for each byte: its own if it has one, else one past 255."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(code) for code in visible] + [chr(256 + n) for n in range(256 - len(visible))]
