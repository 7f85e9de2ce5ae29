"""The workflow inside a file: which texts a picture carries, and how EXIF spells them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from PIL import Image as Pillow

from libs.core.jsonvalue import Json, JsonObject

EXIF_PROMPT: Final = 0x0110
EXIF_FIRST: Final = 0x010F
# Below it lie tags that say how the picture is stored.
EXIF_LAST: Final = 0x0108
# A JPEG segment holds 65,533 bytes, of which six say that EXIF follows.
JPEG_EXIF_BYTES_MAX: Final = 65_527


def texts_for(
    prompt: JsonObject, extra_pnginfo: JsonObject, hip_workflow: JsonObject | None
) -> dict[str, str]:
    """Return the texts that let a picture be opened as the workflow that made it.

    The editor opens text `workflow` without falling back to `prompt`, and understands only its
    own layout there, whose `nodes` is a list. Any other document goes to `hip_workflow`.
    """
    texts: JsonObject = {"prompt": prompt}
    foreign: Json = hip_workflow
    for name, value in extra_pnginfo.items():
        if name == "workflow" and not _is_editor_layout(value):
            foreign = foreign if foreign is not None else value
        elif name not in ("prompt", "hip_workflow"):
            texts[name] = value
    if foreign is not None:
        texts["hip_workflow"] = foreign
    # Escaped to ASCII, every text fits into every kind of file.
    return {name: json.dumps(value) for name, value in texts.items()}


def exif_of(texts: Mapping[str, str], bytes_max: int | None = None) -> bytes:
    """Return the texts as EXIF, where ComfyUI's readers look: `prompt:{...}` and so on.

    Beyond `bytes_max` the longest text is left out, and then the next longest.
    """
    kept = dict(texts)
    while True:
        exif = _exif(kept)
        if bytes_max is None or len(exif) <= bytes_max or not kept:
            return exif
        del kept[max(kept, key=lambda name: len(kept[name]))]


def _exif(texts: Mapping[str, str]) -> bytes:
    exif = Pillow.Exif()
    free = iter(range(EXIF_FIRST, EXIF_LAST, -1))
    for name, text in texts.items():
        tag = EXIF_PROMPT if name == "prompt" else next(free, None)
        if tag is not None:
            exif[tag] = f"{name}:{text}".encode("ascii", "backslashreplace").decode()
    return exif.tobytes() if texts else b""


def _is_editor_layout(value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)
