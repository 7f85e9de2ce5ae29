"""The object drawings: rendered once from an icon package into one picture strip kept here."""

import argparse
import io
import json
from functools import cache
from pathlib import Path
from typing import Final

from PIL import Image

from training.vocabulary import OBJECTS

SPRITE_PIXELS: Final = 48
STRIP: Final = Path(__file__).with_name("sprites.png")
COLUMNS: Final = 10


def render_icon(body: str) -> Image.Image:
    """Draw one icon so that it fills the sprite square."""
    import resvg_py

    side = 32 * 16
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 32 32" width="{side}" height="{side}">{body}</svg>'
    )
    picture = Image.open(
        io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side)))
    ).convert("RGBA")
    picture = picture.crop(picture.getbbox())
    longest = max(picture.size)
    square = Image.new("RGBA", (longest, longest))
    square.paste(picture, ((longest - picture.size[0]) // 2, (longest - picture.size[1]) // 2))
    return square.resize((SPRITE_PIXELS, SPRITE_PIXELS), Image.Resampling.LANCZOS)


def write_strip(icons: Path, target: Path = STRIP) -> None:
    """Render every object of the vocabulary into the strip."""
    bodies = json.loads(icons.read_text(encoding="utf-8"))["icons"]
    rows = (len(OBJECTS) + COLUMNS - 1) // COLUMNS
    strip = Image.new("RGBA", (COLUMNS * SPRITE_PIXELS, rows * SPRITE_PIXELS))
    for index, key in enumerate(OBJECTS):
        strip.paste(render_icon(bodies[key]["body"]), _corner(index))
    strip.save(target, optimize=True)


@cache
def sprites() -> dict[str, Image.Image]:
    """Read the strip back: icon name to drawing."""
    strip = Image.open(STRIP).convert("RGBA")
    found = {}
    for index, key in enumerate(OBJECTS):
        left, top = _corner(index)
        found[key] = strip.crop((left, top, left + SPRITE_PIXELS, top + SPRITE_PIXELS))
    return found


def _corner(index: int) -> tuple[int, int]:
    return (index % COLUMNS) * SPRITE_PIXELS, (index // COLUMNS) * SPRITE_PIXELS


def main() -> None:
    """Read the command line and render the strip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("icons", type=Path, help="icons.json of @iconify-json/fluent-emoji-flat")
    parser.add_argument("--out", type=Path, default=STRIP)
    arguments = parser.parse_args()
    write_strip(arguments.icons, arguments.out)


if __name__ == "__main__":
    main()
