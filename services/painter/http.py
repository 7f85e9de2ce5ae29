"""Reading requests: bounded bodies into typed values, and numbers out of queries."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from libs.core.errors import Refused
from services.painter.errors import invalid, refusal_of

IGNORED_BYTES_MAX: Final = 33_554_432
LENGTH_DIGITS_MAX: Final = 18
WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,15}\Z")
# What a body has besides the pictures in it.
WORDS_BYTES_MAX: Final = 262_144
SEARCH_CHARACTERS_MAX: Final = 200
JSON_LABELS: Final = ("application/json", "+json")

M = TypeVar("M", bound=BaseModel)


async def read_model(request: Request, model: type[M], bytes_max: int = WORDS_BYTES_MAX) -> M:
    """Return the body as `model`; Refused naming the first field that is wrong."""
    label = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not label.endswith(JSON_LABELS):
        raise Refused(
            "The body must be labelled as application/json.",
            kind="unsupported_media_type",
            status=415,
            field="Content-Type",
        )
    body = await read_body(request, bytes_max)
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise refusal_of(error) from error


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the body; Refused with 413 if it is larger than allowed."""
    announced = request.headers.get("content-length", "")
    digits = announced.isascii() and announced.isdigit()
    if digits and (len(announced) > LENGTH_DIGITS_MAX or int(announced) > IGNORED_BYTES_MAX * 4):
        raise _too_large(bytes_max)
    body, ignored = bytearray(), 0
    try:
        async for chunk in request.stream():
            if len(body) <= bytes_max:
                body += chunk
            else:
                # A client that reads only after it has sent all would not hear us before.
                ignored += len(chunk)
                if ignored > IGNORED_BYTES_MAX:
                    raise _too_large(bytes_max)
    except ClientDisconnect as error:
        raise invalid("body", "The body was cut off.") from error
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    return bytes(body)


def whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """Return a whole number of the query; Refused for other text and beyond the bounds."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not WHOLE_NUMBER.match(text) or not least <= int(text) <= most:
        raise invalid(name, f"{name} is a whole number from {least} to {most}.", limit=most)
    return int(text)


def flag(request: Request, name: str) -> bool:
    """Return yes or no out of the query; no if it is not said."""
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise invalid(name, f"{name} is true or false.", allowed=["true", "false"])
    return text == "true"


def search_of(request: Request) -> str:
    """Return the words to be looked for."""
    search = request.query_params.get("search", "")
    if len(search) > SEARCH_CHARACTERS_MAX:
        words = f"search has at most {SEARCH_CHARACTERS_MAX} characters."
        raise invalid("search", words, limit=SEARCH_CHARACTERS_MAX)
    return search


def _too_large(bytes_max: int) -> Refused:
    return Refused(
        f"The body has more than {bytes_max} bytes.",
        kind="too_large",
        status=413,
        field="body",
        limit=bytes_max,
    )
