"""Forms whose size is known to be bounded."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from libs.core.errors import Refused
from services.gateway.http import read_body

# What a form has besides the file: names, boundaries, other fields.
FORM_BYTES: Final = 65_536
FIELDS_MAX: Final = 20


async def read_form(request: Request, file_bytes_max: int) -> FormData:
    """Read a form with one file in it, or two."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused(
            "The body must be multipart/form-data",
            kind="unsupported_media_type",
            status=415,
            field="Content-Type",
        )
    body = await read_body(request, file_bytes_max + FORM_BYTES, "image")

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers,
        stream(),
        max_files=2,
        max_fields=FIELDS_MAX,
        max_part_size=FORM_BYTES,
    )
    try:
        return await parser.parse()
    except (MultiPartException, ValueError, KeyError, LookupError) as error:
        raise Refused("the form cannot be read", kind="invalid_form") from error
