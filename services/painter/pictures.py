"""Pictures that callers hand in: by URL, as base64, or uploaded before; kept in Studio."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from libs.core.errors import Refused
from services.painter.caller import Caller
from services.painter.errors import invalid
from services.painter.fetching import Fetcher
from services.painter.studio import Studio

UPLOADED: Final = "upload:"
DATA_URL: Final = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,")
UPLOAD_NAME: Final = re.compile(r"painter-[0-9a-f]{32}\.(?:png|jpg|webp)\Z")
URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,20}://")
# By content, never by name: what a picture is called proves nothing (R377).
SIGNATURES: Final = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"))
WEBP: Final = (b"RIFF", b"WEBP")


@dataclass(frozen=True)
class Pictures:
    """Every dependency is a field."""

    studio: Studio
    fetcher: Fetcher | None
    bytes_max: int

    async def keep(self, caller: Caller, field: str, text: str) -> str:
        """Return the name under which Studio has a picture that a body names."""
        if text.startswith(UPLOADED):
            name = text.removeprefix(UPLOADED)
            if not UPLOAD_NAME.match(name):
                raise invalid(field, f"{field} is no picture that was uploaded here.")
            return name
        if URL.match(text):
            data = await self._fetched(field, text)
        else:
            data = self._decoded(field, text)
        return await self.keep_bytes(caller, field, data)

    async def keep_bytes(self, caller: Caller, field: str, data: bytes) -> str:
        """Keep a picture; the same one has the same name."""
        if len(data) > self.bytes_max:
            raise self._too_large(field)
        suffix = _suffix_of(data)
        if suffix is None:
            raise Refused(
                f"{field} must be a PNG, JPEG or WebP picture.",
                kind="unsupported_media_type",
                status=415,
                field=field,
            )
        name = f"painter-{hashlib.sha256(data).hexdigest()[:32]}.{suffix}"
        try:
            return await self.studio.upload(caller, name, data)
        except Refused as error:
            # Studio speaks of its own form; the caller knows this field.
            if error.status in (400, 413, 415):
                raise Refused(
                    f"{field}: {error.message}", kind=error.kind, status=error.status, field=field
                ) from error
            raise

    async def _fetched(self, field: str, url: str) -> bytes:
        if self.fetcher is None:
            raise invalid(field, "Pictures are not fetched from URLs here; upload it instead.")
        return await self.fetcher.fetch(field, url)

    def _decoded(self, field: str, text: str) -> bytes:
        found = DATA_URL.match(text)
        encoded = text[found.end() :] if found else text
        if len(encoded) > self.bytes_max * 4 // 3 + 4:
            raise self._too_large(field)
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            words = f"{field} is neither an http(s) URL, nor base64, nor an uploaded picture."
            raise invalid(field, words) from error

    def _too_large(self, field: str) -> Refused:
        return Refused(
            f"{field} has more than {self.bytes_max} bytes.",
            kind="too_large",
            status=413,
            field=field,
            limit=self.bytes_max,
        )


def _suffix_of(data: bytes) -> str | None:
    for signature, suffix in SIGNATURES:
        if data.startswith(signature):
            return suffix
    return "webp" if (data[:4], data[8:12]) == WEBP else None
