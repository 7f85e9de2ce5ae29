"""What a file is by its bytes, so that a picture under another name is moderated as one."""

from __future__ import annotations

import io
import mimetypes
from typing import Final

PLAIN: Final = "application/octet-stream"
HEADS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"glTF", "model/gltf-binary"),
)
MP4_HEAD: Final = b"ftyp"
PICTURES: Final = "image/"


def mime_of(data: bytes, name: str) -> str:
    """Return the kind of a file: by its bytes if they tell, else by its name."""
    for head, mime in HEADS:
        if data.startswith(head):
            return mime
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == MP4_HEAD:
        return "video/mp4"
    return mimetypes.guess_type(name)[0] or PLAIN


def size_of(data: bytes, mime: str) -> tuple[int, int]:
    """Return the width and height of a picture; of anything else zeros."""
    if not mime.startswith(PICTURES):
        return 0, 0
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.size
    except (UnidentifiedImageError, OSError, ValueError):
        return 0, 0
