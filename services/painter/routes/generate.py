"""POST /api/generate, and going on from a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.painter.caller import Caller
from services.painter.domain.bodies import GenerateBody, InpaintBody, UpscaleBody, VaryBody
from services.painter.domain.telling import TYPES, WORDS, Seen, told
from services.painter.errors import NotMade
from services.painter.http import WORDS_BYTES_MAX, read_body, read_model
from services.painter.making import idempotency_key
from services.painter.painter import Painter
from services.painter.routes.table import Route

STATUS: Final = {"blocked": 403, "cancelled": 409, "failed": 500}


@dataclass(frozen=True)
class GenerateRoutes:
    """Everything that makes a picture."""

    painter: Painter

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        one = "/api/generations/{generation_id}"
        return (
            Route("POST", "/api/generate", self.generate),
            Route("POST", f"{one}/vary", self.vary),
            Route("POST", f"{one}/upscale", self.upscale),
            Route("POST", f"{one}/inpaint", self.inpaint),
        )

    async def generate(self, request: Request) -> Response:
        """Make pictures of a text; waits for them unless `Prefer: respond-async` is said."""
        caller, key = self._asked(request)
        await self.painter.knowing.caller(caller)
        body = await read_model(request, GenerateBody, body_bytes_max(self.painter, 2))
        made = await self.painter.making.generate(caller, body, key)
        return await self._answer(request, caller, made)

    async def vary(self, request: Request) -> Response:
        """Make more pictures like one: `subtle` keeps most of it, `strong` less."""
        caller, key = self._asked(request)
        await self.painter.knowing.caller(caller)
        body = await read_model(request, VaryBody)
        one = request.path_params["generation_id"]
        return await self._answer(
            request, caller, await self.painter.making.vary(caller, one, body, key)
        )

    async def upscale(self, request: Request) -> Response:
        """Make a picture twice as large each way."""
        caller, key = self._asked(request)
        await self.painter.knowing.caller(caller)
        body = await read_model(request, UpscaleBody)
        one = request.path_params["generation_id"]
        return await self._answer(
            request, caller, await self.painter.making.upscale(caller, one, body.image, key)
        )

    async def inpaint(self, request: Request) -> Response:
        """Paint the white part of a mask anew, and leave the rest as it is."""
        caller, key = self._asked(request)
        await self.painter.knowing.caller(caller)
        body = await read_model(request, InpaintBody, body_bytes_max(self.painter, 1))
        one = request.path_params["generation_id"]
        return await self._answer(
            request, caller, await self.painter.making.inpaint(caller, one, body, key)
        )

    def _asked(self, request: Request) -> tuple[Caller, str]:
        key = idempotency_key(request.headers.get("idempotency-key", ""))
        return self.painter.who(request), key

    async def _answer(self, request: Request, caller: Caller, made: Seen) -> Response:
        if not wants_no_waiting(request):
            seconds = self.painter.settings.wait_seconds
            made = await self.painter.generations.settled(caller, made, seconds)
        if made.status in TYPES and not wants_no_waiting(request):
            raise NotMade(
                made.failure or WORDS[made.status],
                kind=TYPES[made.status],
                status=STATUS[made.status],
                generation_id=made.prompt_id,
            )
        places = self.painter.places(request)
        headers = {"Location": f"{places.painter}/api/generations/{made.prompt_id}"}
        if wants_no_waiting(request):
            headers["Preference-Applied"] = "respond-async"
        status = 202 if made.is_open else 200
        return JSONResponse(told(made, places), status, headers=headers)


def body_bytes_max(painter: Painter, pictures: int) -> int:
    """Return how large a body with so many pictures in base64 may be."""
    return WORDS_BYTES_MAX + pictures * (painter.settings.image_bytes_max * 4 // 3 + 100)


def wants_no_waiting(request: Request) -> bool:
    """Say whether the caller looks again later."""
    wishes = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(wish.strip() == "respond-async" for wish in wishes)


async def read_nothing(request: Request) -> None:
    """Read and forget the body of a command that has none."""
    await read_body(request, WORDS_BYTES_MAX)
