"""PNG files: one fixed encoder, and the workflow inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO

from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from libs.core.jsonvalue import Json, JsonObject
from libs.nodes.sockets import Pixels

COMPRESS_LEVEL = 4


def encode_png(pixels: Pixels, chunks: Mapping[str, str]) -> bytes:
    """Encode [height, width, 3] bytes with the text chunks in the given order.

    The same pixels and chunks give the same bytes, as long as Pillow and zlib stay the same.
    """
    info = PngInfo()
    for name, text in chunks.items():
        info.add_text(name, text)
    file = BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG", pnginfo=info, compress_level=COMPRESS_LEVEL)
    return file.getvalue()


def chunks_for(
    prompt: JsonObject, extra_pnginfo: JsonObject, hip_workflow: JsonObject | None
) -> dict[str, str]:
    """Return the text chunks that let a picture be opened as the workflow that made it.

    The editor opens chunk `workflow` without falling back to `prompt`, and understands only its
    own layout there, whose `nodes` is a list. Any other document goes to `hip_workflow`.
    """
    chunks: JsonObject = {"prompt": prompt}
    foreign: Json = hip_workflow
    for name, value in extra_pnginfo.items():
        if name == "workflow" and not _is_editor_layout(value):
            foreign = foreign if foreign is not None else value
        elif name not in ("prompt", "hip_workflow"):
            chunks[name] = value
    if foreign is not None:
        chunks["hip_workflow"] = foreign
    # Escaped to ASCII, every text fits into a tEXt chunk, the kind all readers know.
    return {name: json.dumps(value) for name, value in chunks.items()}


def _is_editor_layout(value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)
