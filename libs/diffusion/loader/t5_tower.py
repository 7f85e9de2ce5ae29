"""T5 encoders built from their tensors, with the tokenizer that belongs to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch

from libs.core.errors import Refused
from libs.diffusion.loader.build import build
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.text import TowerPlace
from libs.diffusion.text.t5_network import T5Network, t5_shape
from libs.text.sentencepiece import from_gguf, from_sentencepiece
from libs.text.t5_tokenizer import T5Tokenizer, read_tokenizer, usual_tokenizer

# A second name of the table of words, in files that transformers wrote.
TIED: Final = "encoder.embed_tokens.weight"
# A SentencePiece model may lie in the file itself, as bytes.
INSIDE: Final = "spiece_model"
TOKENIZER_FILES: Final = ("tokenizer.json", "spiece.model")
TOKENIZERS_FOLDER: Final = "tokenizers"


def build_t5(file: WeightsFile, place: TowerPlace) -> T5Network:
    """Build the encoder; its weights stay in half precision, its arithmetic is float32."""
    # In half precision whatever the file holds: that is what the texts were compared with.
    tensors = file.read_under(place.prefix, torch.float16)
    tensors.pop(INSIDE, None)
    shared = tensors.pop(TIED, None)
    if shared is not None:
        tensors.setdefault("shared.weight", shared)
    known = {
        name: tensor for name, tensor in tensors.items() if name.startswith(("shared.", "encoder."))
    }
    shape = t5_shape({name: tuple(tensor.shape) for name, tensor in known.items()})
    tokenizer = tokenizer_of(file, place, shape.vocabulary)
    return build(lambda: T5Network(shape, tokenizer), known)


def tokenizer_of(file: WeightsFile, place: TowerPlace, vocabulary: int) -> T5Tokenizer:
    """Return the tokenizer in the file, else the one beside it, else the usual one."""
    found = _inside(file, place) or _beside(file, place) or usual_tokenizer()
    if found.size > vocabulary:
        raise Refused(
            "the tokenizer knows more words than the text encoder; put the tokenizer.json or "
            "spiece.model that belongs to it beside the file",
            file=file.path.name,
            tokens=found.size,
            vocabulary=vocabulary,
        )
    return found


def _inside(file: WeightsFile, place: TowerPlace) -> T5Tokenizer | None:
    name = f"{place.prefix}{INSIDE}"
    if name in file.shapes:
        (data,) = file.read([name], torch.float32).values()
        return T5Tokenizer(from_sentencepiece(data.to(torch.uint8).numpy().tobytes()))
    tokenizer = from_gguf(file.metadata)
    return None if tokenizer is None else T5Tokenizer(tokenizer)


def _beside(file: WeightsFile, place: TowerPlace) -> T5Tokenizer | None:
    path = next((path for path in _candidates(file.path, place) if path.is_file()), None)
    return None if path is None else read_tokenizer(path)


def _candidates(path: Path, place: TowerPlace) -> Iterator[Path]:
    """Yield where a tokenizer may lie, what is nearest to the weights first."""
    if path.is_dir():
        part = place.prefix.removesuffix(".").replace("text_encoder", "tokenizer")
        yield from (path / part / name for name in TOKENIZER_FILES)
        return
    for folder in (path.parent, path.parent.parent / TOKENIZERS_FOLDER):
        for name in TOKENIZER_FILES:
            yield folder / f"{path.stem}.{name}"
        yield from (folder / name for name in TOKENIZER_FILES)
