"""A stand-in for the Painter service: it answers as `docs/painter.md` says, and as a test wishes.

It is for what a real house with the demo model does not do at will: refuse, break a connection,
show unfinished pictures, or have a language model.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.e2e.houses import ROOT
from tests.integration.painter_page.choices import DEMO, LARGE, LOCKED, STYLES

SITE = ROOT / "services" / "painter" / "site"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@dataclass
class StandIn:
    """The service's state, and the wishes of a test."""

    auth: str = "local"
    token: str = ""
    enhance: bool = False
    models: list[dict[str, Any]] = field(default_factory=lambda: [DEMO])
    steps: int = 6
    pause_seconds: float = 0.02
    previews: bool = False
    # (status, type, message, headers) of the next answer to an order.
    refusal: tuple[int, str, str, dict[str, str]] | None = None
    # How many event streams break after their first event.
    breaks: int = 0
    # How many orders are taken without an answer getting through.
    swallowed: int = 0
    held: asyncio.Event | None = None
    page_size: int = 24
    generations: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[int] = field(default_factory=list)
    maps: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/api/options", self.options),
                Route("/api/account", self.account),
                Route("/api/models", self.list_models),
                Route("/api/styles", self.list_styles),
                Route("/api/session", self.session, methods=["POST", "DELETE"]),
                Route("/api/generate", self.make, methods=["POST"]),
                Route("/api/generations", self.list_generations),
                Route("/api/generations/{id}", self.one, methods=["GET", "DELETE"]),
                Route("/api/generations/{id}/events", self.events),
                Route("/api/generations/{id}/cancel", self.cancel, methods=["POST"]),
                Route("/api/generations/{id}/favourite", self.love, methods=["PUT", "DELETE"]),
                Route("/api/generations/{id}/images/{index:int}", self.image),
                Route("/api/generations/{id}/{kind}", self.make, methods=["POST"]),
                Route("/api/prompts", self.prompts),
                Route("/api/uploads", self.upload, methods=["POST"]),
                Route("/api/control-maps", self.make_map, methods=["POST"]),
                Route("/api/control-maps/{id}", self.one_map),
                Route("/api/control-maps/{id}/image", self.map_image),
                Route("/api/enhance", self.enrich, methods=["POST"]),
                Mount("/", StaticPage(directory=SITE, html=True)),
            ]
        )

    async def options(self, request: Request) -> Response:
        known = self.auth == "local" or request.cookies.get("studio_token") == self.token
        return JSONResponse(
            {
                "auth": self.auth,
                "signed_in": known,
                "studio_url": "http://127.0.0.1:8188",
                "features": {
                    "enhance": self.enhance,
                    "previews": self.previews,
                    "prompt_history": True,
                    "image_urls": True,
                },
                "limits": {
                    "prompt_characters_max": 10000,
                    "num_images_max": 4,
                    "image_bytes_max": 2**20,
                    "seed_max": 2**53 - 1,
                },
                "control_map": {"cost_credits": 0.02, "images": 1},
            }
        )

    async def account(self, _request: Request) -> Response:
        made = sum(len(one["images"]) for one in self.generations.values())
        return JSONResponse(
            {
                "user": "ann",
                "balance_credits": 1240.5,
                "today": {
                    "images": made,
                    "images_left": 50 - made,
                    "resets_at": "2026-11-26T00:00:00.000Z",
                },
            }
        )

    async def list_models(self, _request: Request) -> Response:
        return JSONResponse({"default": self.models[0]["name"], "models": self.models})

    async def list_styles(self, _request: Request) -> Response:
        return JSONResponse({"styles": STYLES})

    async def session(self, request: Request) -> Response:
        if request.method == "DELETE":
            answer = Response(status_code=204)
            answer.delete_cookie("studio_token")
            return answer
        if (await request.json())["token"] != self.token:
            return refusal(401, "unauthorized", "unknown key")
        answer = Response(status_code=204)
        answer.set_cookie("studio_token", self.token, httponly=True, samesite="strict")
        return answer

    async def make(self, request: Request) -> Response:
        if self.refusal:
            status, kind, message, headers = self.refusal
            self.refusal = None
            return refusal(status, kind, message, headers)
        body = await request.json()
        key = request.headers["Idempotency-Key"]
        if key not in self.keys:
            self.bodies.append(body)
            self.keys[key] = self.begin(request.path_params, body)
        if self.swallowed:
            self.swallowed -= 1
            raise RuntimeError("the answer is lost on its way")
        return JSONResponse(self.generations[self.keys[key]], status_code=202)

    def begin(self, path: dict[str, Any], body: dict[str, Any]) -> str:
        number = next(self.numbers)
        made = f"0199-{number:04}"
        source = self.generations.get(path.get("id", ""), {"settings": {}})["settings"]
        count = 4 if path.get("kind") == "vary" else body.get("num_images", 1)
        settings = {"negative_prompt": "", "style": "none", **source, **body, "num_images": count}
        settings["seed"] = body.get("seed", -1) if body.get("seed", -1) >= 0 else 1000 + number
        self.generations[made] = {
            "generation_id": made,
            "kind": path.get("kind", "generate"),
            "status": "queued",
            "images": [],
            "usage": {"model": settings["model"], "cost_credits": 0},
            "settings": settings,
            "created": f"2026-11-25T20:{number:02}:00.000Z",
            "ended": None,
            "seconds": None,
            "place": 2,
            "progress": None,
            "favourite": False,
            "error": None,
            "studio_url": f"http://127.0.0.1:8188/?workflow={made}",
        }
        return made

    async def list_generations(self, request: Request) -> Response:
        found = [
            one
            for one in reversed(self.generations.values())
            if request.query_params.get("search", "").lower() in one["settings"]["prompt"].lower()
            and (one["favourite"] or "favourites" not in request.query_params)
        ]
        begin = int(request.query_params.get("before", 0))
        end = begin + self.page_size
        after = str(end) if end < len(found) else None
        return JSONResponse({"generations": found[begin:end], "next": after})

    async def one(self, request: Request) -> Response:
        key = request.path_params["id"]
        if key not in self.generations:
            return refusal(404, "not_found", "there is no such generation")
        if request.method == "DELETE":
            del self.generations[key]
            return Response(status_code=204)
        return JSONResponse(self.generations[key])

    async def cancel(self, request: Request) -> Response:
        one = self.generations[request.path_params["id"]]
        one |= {"status": "cancelled", "error": {"type": "cancelled", "message": ""}}
        return JSONResponse(one)

    async def love(self, request: Request) -> Response:
        self.generations[request.path_params["id"]]["favourite"] = request.method == "PUT"
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        return StreamingResponse(
            self.told(request.path_params["id"]), media_type="text/event-stream"
        )

    async def told(self, key: str) -> AsyncIterator[str]:
        one = self.generations[key]
        yield line("generation", one)
        if self.breaks:
            self.breaks -= 1
            return
        if self.held:
            await self.held.wait()
        for step in range(1, self.steps + 1):
            await asyncio.sleep(self.pause_seconds)
            if one["status"] == "cancelled":
                break
            if step == 1:
                one |= {"status": "running", "place": None}
                yield line("generation", one)
            yield line("progress", {"step": step, "steps": self.steps, "fraction": 0.5})
            if self.previews:
                yield line("preview", {"image": PREVIEW})
        if one["status"] == "running":
            self.end(one)
        yield line("generation", one)
        yield line("end", {})

    def end(self, one: dict[str, Any]) -> None:
        settings, key = one["settings"], one["generation_id"]
        one |= {"status": "succeeded", "seconds": 2.4, "ended": "2026-11-25T21:00:00.000Z"}
        one["usage"]["cost_credits"] = 0.07 * settings["num_images"]
        one["images"] = [
            {
                "index": index,
                "url": f"http://elsewhere:1/api/generations/{key}/images/{index}",
                "width": settings["width"],
                "height": settings["height"],
                "seed": settings["seed"] + index,
                "workflow_id": key,
            }
            for index in range(settings["num_images"])
        ]

    async def image(self, request: Request) -> Response:
        one = self.generations[request.path_params["id"]]
        return Response(painted(one["settings"]), media_type="image/png")

    async def prompts(self, _request: Request) -> Response:
        texts = {one["settings"]["prompt"]: key for key, one in self.generations.items()}
        said = [{"id": key, "prompt": text} for text, key in texts.items()]
        return JSONResponse({"prompts": said})

    async def upload(self, request: Request) -> Response:
        async with request.form() as form:
            self.uploads.append(len(await form["image"].read()))  # type: ignore[union-attr]
        return JSONResponse({"image": f"upload:{len(self.uploads)}"})

    async def make_map(self, request: Request) -> Response:
        if self.refusal:
            status, kind, message, headers = self.refusal
            self.refusal = None
            return refusal(status, kind, message, headers)
        body = await request.json()
        key = f"{body['control_type']}-{len(self.maps) + 1}"
        self.maps[key] = {"map_id": key, "status": "queued", "image": None, "error": None}
        return JSONResponse(self.maps[key], status_code=202)

    async def one_map(self, request: Request) -> Response:
        if self.held:
            await self.held.wait()
        one = self.maps[request.path_params["id"]]
        image = f"http://elsewhere:1/api/control-maps/{one['map_id']}/image"
        one |= {"status": "succeeded", "image": image}
        return JSONResponse(one)

    async def map_image(self, request: Request) -> Response:
        out = io.BytesIO()
        colour = "white" if request.path_params["id"].startswith("canny") else "black"
        Image.new("RGB", (64, 48), colour).save(out, "PNG")
        return Response(out.getvalue(), media_type="image/png")

    async def enrich(self, request: Request) -> Response:
        prompt = (await request.json())["prompt"]
        return JSONResponse({"prompt": f"{prompt}, golden light, fine detail"})


class StaticPage(StaticFiles):
    """The built page under the content policy that the service has, but stricter."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a file with the policy."""
        answer = super().file_response(*args, **kwargs)
        answer.headers["Content-Security-Policy"] = POLICY
        return answer


def painted(settings: dict[str, Any]) -> bytes:
    """Return a PNG that carries its settings, as the service's do."""
    words = PngInfo()
    words.add_itxt("painter", json.dumps({"version": 1, "settings": settings}))
    out = io.BytesIO()
    size = (settings["width"], settings["height"])
    Image.linear_gradient("L").resize(size).save(out, "PNG", pnginfo=words)
    return out.getvalue()


PREVIEW = "data:image/gif;base64,R0lGODlhAQABAIAAAMiAUP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=="


def line(event: str, data: Any) -> str:
    """Return one server-sent event."""
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


def refusal(
    status: int, kind: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """Return a refusal as the service words it."""
    error = {"type": kind, "message": message, "details": "", "extra_info": {}}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


@contextlib.asynccontextmanager
async def serving(stand_in: StandIn) -> AsyncIterator[str]:
    """Run the stand-in on a free port; yield its address."""
    config = uvicorn.Config(stand_in.app(), port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        port = listening.getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            server.force_exit = True
            await task


if __name__ == "__main__":
    uvicorn.run(
        StandIn(models=[DEMO, LARGE, LOCKED], enhance=True, pause_seconds=0.2).app(), port=3999
    )
