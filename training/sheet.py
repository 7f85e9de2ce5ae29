"""Draws the contact sheet, forty fixed sentences: `python -m training.sheet --help`."""

import argparse
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.export import FOLDER, NAME
from training.generate import GUIDANCE, STEPS, Painter

SENTENCES: Final = Path(__file__).with_name("sheet.txt")
SEED: Final = 7
COLUMNS: Final = 8
GAP: Final = 2


def sentences(source: Path = SENTENCES) -> list[str]:
    """Read the forty sentences, or others, one a line."""
    return source.read_text(encoding="utf-8").split("\n")[:-1]


def arrange(pictures: NDArray[np.uint8], scale: int) -> Image.Image:
    """Lay pictures out in rows."""
    side = pictures.shape[1]
    rows = (len(pictures) + COLUMNS - 1) // COLUMNS
    step = side + GAP
    sheet = Image.new("RGB", (COLUMNS * step + GAP, rows * step + GAP), (255, 255, 255))
    for index, picture in enumerate(pictures):
        corner = (GAP + index % COLUMNS * step, GAP + index // COLUMNS * step)
        sheet.paste(Image.fromarray(picture), corner)
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)


def main() -> None:
    """Read the command line and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=FOLDER / f"{NAME}.safetensors")
    parser.add_argument("--sentences", type=Path, default=SENTENCES, help="one a line")
    parser.add_argument("--out", type=Path, default=Path("docs/images/demo-sheet.png"))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--scale", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    painter = Painter(arguments.checkpoint)
    pictures = painter.paint(
        sentences(arguments.sentences),
        arguments.seed,
        steps=arguments.steps,
        guidance=arguments.guidance,
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arrange(pictures, arguments.scale).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
