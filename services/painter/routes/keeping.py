"""The caller's texts, pictures to be used, a better text, and the key in a cookie."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.chassis.sites import refuse_other_origins
from libs.core.errors import Refused
from services.painter.caller import COOKIE, Caller
from services.painter.domain.bodies import EnhanceBody, SessionBody
from services.painter.domain.styles import styles
from services.painter.errors import invalid
from services.painter.http import read_body, read_model, search_of, whole_number
from services.painter.painter import Painter
from services.painter.pictures import UPLOADED
from services.painter.routes.generate import read_nothing
from services.painter.routes.table import Route

TEXTS, TEXTS_MAX = 50, 100
FORM_BYTES: Final = 65_536
ID_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True)
class KeepingRoutes:
    """Everything beside the pictures."""

    painter: Painter

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/api/prompts", self.texts),
            Route("DELETE", "/api/prompts", self.forget_all),
            Route("DELETE", "/api/prompts/{id}", self.forget),
            Route("POST", "/api/uploads", self.upload),
            Route("POST", "/api/enhance", self.enhance),
            Route("POST", "/api/session", self.sign_in),
            Route("DELETE", "/api/session", self.sign_out),
        )

    async def texts(self, request: Request) -> Response:
        """Return the texts that the caller typed last: `search`, `limit`."""
        owner = (await self.painter.knowing.caller(self.painter.who(request))).owner
        search = search_of(request)
        limit = whole_number(request, "limit", TEXTS, 1, TEXTS_MAX)
        return JSONResponse({"prompts": await self.painter.keeping.texts(owner, search, limit)})

    async def forget_all(self, request: Request) -> Response:
        """Take all texts of the caller away."""
        owner = (await self.painter.knowing.caller(self.painter.who(request))).owner
        await self.painter.keeping.forget(owner)
        return Response(status_code=204)

    async def forget(self, request: Request) -> Response:
        """Take one text away."""
        owner = (await self.painter.knowing.caller(self.painter.who(request))).owner
        digest = str(request.path_params["id"]).replace("\0", "")[:ID_CHARACTERS_MAX]
        await self.painter.keeping.forget(owner, digest)
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        """Keep a picture to be used as reference, control or mask: form field `image`."""
        caller = self.painter.who(request)
        await self.painter.knowing.caller(caller)
        data = await self._form_image(request)
        name = await self.painter.pictures.keep_bytes(caller, "image", data)
        return JSONResponse({"image": f"{UPLOADED}{name}"})

    async def enhance(self, request: Request) -> Response:
        """Tell a text better, with the language model that is set up here."""
        await self.painter.knowing.caller(self.painter.who(request))
        body = await read_model(request, EnhanceBody)
        style = styles().get(body.style or "none")
        if style is None:
            raise Refused(
                "There is no such style.",
                kind="unknown_style",
                field="style",
                allowed=list(styles()),
            )
        chosen = style if body.style not in (None, "none") else None
        return JSONResponse({"prompt": await self.painter.enhancing.enhance(body.prompt, chosen)})

    async def sign_in(self, request: Request) -> Response:
        """Check an API key and begin a session of Studio's; its cookie is not the key."""
        refuse_other_origins(request.headers)
        self.painter.who(request)
        body = await read_model(request, SessionBody)
        await self.painter.knowing.caller(Caller(body.token), anew=True)
        answer = Response(status_code=204)
        for cookie in await self.painter.studio.log_in(body.token):
            answer.headers.append("Set-Cookie", cookie)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session and take its cookie away."""
        refuse_other_origins(request.headers)
        caller = self.painter.who(request)
        await read_nothing(request)
        await self.painter.studio.log_out(caller)
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return answer

    async def _form_image(self, request: Request) -> bytes:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Refused(
                "The body must be multipart/form-data.",
                kind="unsupported_media_type",
                status=415,
                field="Content-Type",
            )
        most = self.painter.settings.image_bytes_max + FORM_BYTES
        body = await read_body(request, most)

        async def stream() -> AsyncGenerator[bytes, None]:
            yield body

        parser = MultiPartParser(request.headers, stream(), max_files=1, max_fields=5)
        try:
            image = (await parser.parse()).get("image")
        except (MultiPartException, ValueError, KeyError, LookupError) as error:
            raise invalid("body", "The form cannot be read.") from error
        if not isinstance(image, UploadFile):
            raise invalid("image", "The form has no image.")
        return await image.read()
