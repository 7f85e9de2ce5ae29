"""Draws the contact sheet, forty fixed sentences: `python -m training.sheet --help`."""

import argparse
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from libs.diffusion.placement import Placement
from libs.diffusion.residency import ModelCache
from libs.diffusion.torch_loader import TorchLoader
from libs.diffusion.values import Picture
from training.export import FOLDER, NAME
from training.generate import GUIDANCE, STEPS, Painter
from training.upscaler import MODEL as UPSCALER

SENTENCES: Final = Path(__file__).with_name("sheet.txt")
SEED: Final = 7
CACHE_BYTES_MAX: Final = 1_000_000_000
COLUMNS: Final = 8
GAP: Final = 4
SHOWN_PIXELS: Final = 128


def sentences(source: Path = SENTENCES) -> list[str]:
    """Read the forty sentences, or others, one a line."""
    return source.read_text(encoding="utf-8").split("\n")[:-1]


def enlarged(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw pictures four times as large, as the default graph does."""
    loader = TorchLoader(Placement.cpu(), ModelCache(CACHE_BYTES_MAX))
    upscaler = loader.upscale_model(FOLDER / f"{UPSCALER}.safetensors")
    small = Picture(torch.from_numpy(pictures).float() / 255)
    large = upscaler.upscale(small, lambda *_, **__: None).pixels
    pixels: NDArray[np.uint8] = (large.clamp(0, 1) * 255).round().byte().numpy()
    return pixels


def arrange(pictures: NDArray[np.uint8]) -> Image.Image:
    """Lay pictures out in rows."""
    rows = (len(pictures) + COLUMNS - 1) // COLUMNS
    step = SHOWN_PIXELS + GAP
    sheet = Image.new("RGB", (COLUMNS * step + GAP, rows * step + GAP), (255, 255, 255))
    for index, picture in enumerate(pictures):
        corner = (GAP + index % COLUMNS * step, GAP + index // COLUMNS * step)
        shown = Image.fromarray(picture).resize((SHOWN_PIXELS, SHOWN_PIXELS))
        sheet.paste(shown, corner)
    return sheet


def main() -> None:
    """Read the command line and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=FOLDER / f"{NAME}.safetensors")
    parser.add_argument("--sentences", type=Path, default=SENTENCES, help="one a line")
    parser.add_argument("--out", type=Path, default=Path("docs/images/demo-sheet.png"))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
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
    arrange(enlarged(pictures)).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
