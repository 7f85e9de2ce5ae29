"""Reading requests: bounded bodies, JSON whatever its label, and which dialect is meant."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from starlette.requests import ClientDisconnect, Request

from libs.core.errors import Refused
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.literals import flaw
from libs.graph.refusal import GraphRefused, problem
from services.gateway.errors import TooLarge

COMMAND_BYTES_MAX = 1_048_576
IGNORED_BYTES_MAX = 33_554_432
LENGTH_DIGITS_MAX = 18
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,30}\Z")


def speaks_hip35(request: Request) -> bool:
    """Say whether the answer is to have HIP-35's shape.

    The bare paths speak ComfyUI. So does `/api` to ComfyUI's own editor, which always sends
    the header Comfy-User, and to whoever asks for `?format=comfyui`.
    """
    if not request.url.path.startswith("/api/"):
        return False
    return "comfy-user" not in request.headers and request.query_params.get("format") != "comfyui"


def require_json_label(request: Request) -> None:
    """Refuse a body that is not labelled as JSON (R184), in HIP-35's dialect only."""
    label = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if label != "application/json" and not label.endswith("+json"):
        raise Refused(
            "The body must be application/json",
            kind="unsupported_media_type",
            status=415,
            field="Content-Type",
            received=label[:100],
        )


async def read_body(request: Request, bytes_max: int, what: str) -> bytes:
    """Return the body; Refused with 413 if it is larger than allowed."""
    announced = request.headers.get("content-length", "")
    digits = announced.isascii() and announced.isdigit()
    if digits and (len(announced) > LENGTH_DIGITS_MAX or int(announced) > bytes_max):
        # The server throws away what follows; of an endless rest it would never be done.
        endless = len(announced) > LENGTH_DIGITS_MAX or int(announced) > IGNORED_BYTES_MAX
        raise TooLarge(what, bytes_max, hangs_up=endless)
    body, ignored = bytearray(), 0
    try:
        async for chunk in request.stream():
            if len(body) <= bytes_max:
                body += chunk
            else:
                # A client that reads only after it has sent all would not hear us before.
                ignored += len(chunk)
                if ignored > IGNORED_BYTES_MAX:
                    raise TooLarge(what, bytes_max, hangs_up=True)
    except ClientDisconnect as error:
        raise Refused("the body was cut off", kind="incomplete_body") from error
    if len(body) > bytes_max:
        raise TooLarge(what, bytes_max)
    return bytes(body)


async def read_command(request: Request) -> JsonObject:
    """Return the JSON object of a command; an empty body is an empty object."""
    body = await read_body(request, COMMAND_BYTES_MAX, "the body")
    if body and speaks_hip35(request):
        require_json_label(request)
    value = parse_json(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise Refused("The body must be a JSON object", kind="invalid_json", field="body")
    found = flaw(value)
    if found:
        raise Refused(f"The body {found}", kind="invalid_json", field="body")
    return value


def parse_json(body: bytes) -> Json:
    """Parse strict JSON; whatever else arrives is a refusal that says what is wrong."""
    try:
        value: Json = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        details = str(error)[:200].encode("ascii", "backslashreplace").decode()
        raise GraphRefused(
            problem("invalid_json", "The body is not valid JSON", details)
        ) from error
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def text_ids(value: Json, field: str, ids_max: int = 10_000) -> list[str]:
    """Return a list of ids from a command, in its order; Refused for anything else."""
    if value is None:
        return []
    ids = [item for item in value if isinstance(item, str)] if isinstance(value, list) else None
    if not isinstance(value, list) or ids is None or not len(ids) == len(value) <= ids_max:
        raise Refused(
            f"{field} must be a list of at most {ids_max} ids", kind="invalid_ids", field=field
        )
    return ids


def count_of(request: Request, name: str, default: int, count_max: int) -> int:
    """Return a whole number of the query, clipped to `count_max`; Refused for other text."""
    text = request.query_params.get(name)
    if text is None:
        return default
    value = whole_number(text)
    if value is None:
        raise Refused(
            f"{name} must be a whole number",
            kind="invalid_number",
            field=name,
            received=text[:100],
        )
    return min(value, count_max)


def whole_number(text: str) -> int | None:
    """Return the whole number that `text` is, in plain digits."""
    return int(text) if WHOLE_NUMBER.match(text) else None
