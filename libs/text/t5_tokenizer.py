"""T5's unigram tokenizer: the one that comes with a file of weights, or the usual one from here."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from libs.core.errors import Refused
from libs.text.sentencepiece import from_sentencepiece

VOCABULARY: Final = Path(__file__).with_name("t5_tokenizer.json.gz")
BYTES_MAX: Final = 64 * 1024 * 1024
END: Final = "</s>"
PAD: Final = "<pad>"


class T5Tokenizer:
    """Turns text into token ids without an end mark."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.end = self._id_of(END)
        self.pad = self._id_of(PAD)

    @property
    def size(self) -> int:
        """How many tokens it knows."""
        return int(self._tokenizer.get_vocab_size())

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def __deepcopy__(self, _memo: object) -> T5Tokenizer:
        return self

    def _id_of(self, mark: str) -> int:
        found = self._tokenizer.token_to_id(mark)
        if found is None:
            raise Refused("the tokenizer is not one of T5", missing=mark)
        return int(found)


@cache
def usual_tokenizer() -> T5Tokenizer:
    """Return the tokenizer that all published T5 1.1 encoders share."""
    return T5Tokenizer(Tokenizer.from_str(gzip.decompress(VOCABULARY.read_bytes()).decode()))


def read_tokenizer(path: Path) -> T5Tokenizer:
    """Return the tokenizer in a `tokenizer.json` or a SentencePiece file."""
    if path.stat().st_size > BYTES_MAX:
        raise Refused("the tokenizer file is too large", file=path.name, bytes_max=BYTES_MAX)
    data = path.read_bytes()
    if path.suffix != ".json":
        return T5Tokenizer(from_sentencepiece(data))
    try:
        return T5Tokenizer(Tokenizer.from_str(data.decode()))
    except Refused:
        raise
    # The library tells a damaged file by a bare Exception.
    except Exception as error:
        raise Refused("the tokenizer file is damaged", file=path.name, reason=str(error)) from error
