"""CLIP's tokenizer in training: the standard 49,408 tokens, of which captions use a few dozen."""

import gzip
import json
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from transformers import CLIPTokenizer

from training.networks import TEXT_POSITIONS

TOKENS: Final = 49_408
START: Final = 49_406
END: Final = 49_407
MERGES: Final = TOKENS - 512 - 2
BPE: Final = Path("libs/diffusion/text/bpe_simple_vocab_16e6.txt.gz")


@cache
def clip_tokenizer(bpe: Path) -> CLIPTokenizer:
    """Build CLIP's tokenizer out of OpenAI's `bpe_simple_vocab_16e6.txt.gz`."""
    lines = gzip.decompress(bpe.read_bytes()).decode("utf-8").split("\n")[1 : MERGES + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = list(_byte_letters())
    words = letters + [letter + "</w>" for letter in letters] + ["".join(m) for m in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merged = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocabulary.write_text(json.dumps({word: i for i, word in enumerate(words)}))
        merged.write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=TEXT_POSITIONS)


def token_ids(captions: Iterable[str], bpe: Path) -> list[list[int]]:
    """Return the tokens of each caption, without start and end."""
    tokenizer = clip_tokenizer(bpe)
    return [ids[1:-1] for ids in tokenizer(list(captions)).input_ids]


class CompactVocabulary:
    """The tokens that captions use, numbered from 0, then one for all others, start and end."""

    def __init__(self, known: Iterable[int]) -> None:
        self.known = sorted(set(known) - {START, END})
        self.rows = {token: row for row, token in enumerate(self.known)}
        self.unknown = len(self.known)
        self.start = self.unknown + 1
        self.end = self.unknown + 2
        self.size = self.unknown + 3

    def row(self, token: int) -> int:
        """Return the row of a token in the small embedding."""
        return self.rows.get(token, self.unknown)

    def line(self, rows: list[int]) -> list[int]:
        """Frame rows by start and end and fills up to 77."""
        framed = [self.start, *rows[: TEXT_POSITIONS - 2], self.end]
        return framed + [self.end] * (TEXT_POSITIONS - len(framed))


def _byte_letters() -> Iterable[str]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    yield from (chr(byte) for byte in printable)
    yield from (chr(256 + offset) for offset in range(len(rest)))
