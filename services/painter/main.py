"""Painter's table of contents."""

from __future__ import annotations

import time
from collections.abc import Iterator

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.chassis.service import Resources, Service
from libs.telemetry.http import Traced
from services.painter import errors, metrics
from services.painter.enhancing import Enhancing
from services.painter.fetching import Fetcher, is_public, resolve
from services.painter.generations import Generations
from services.painter.keeping import Keeping
from services.painter.knowing import Knowing
from services.painter.making import Making
from services.painter.mapping import Mapping
from services.painter.painter import Painter
from services.painter.pictures import Pictures
from services.painter.routes.choices import ChoiceRoutes
from services.painter.routes.events import EventRoutes
from services.painter.routes.generate import GenerateRoutes
from services.painter.routes.generations import GenerationRoutes
from services.painter.routes.health import HealthRoutes
from services.painter.routes.keeping import KeepingRoutes
from services.painter.routes.maps import MapRoutes
from services.painter.routes.page import PageRoutes
from services.painter.routes.table import Route, add_routes
from services.painter.settings import PainterSettings
from services.painter.studio import Studio
from services.painter.watching import Watching

TITLE = "Hanzo Painter"


def build(resources: Resources, settings: PainterSettings | None = None) -> Service:
    """Wire Painter on real adapters."""
    settings = settings or PainterSettings()
    painter = build_painter(resources, settings)

    async def close() -> None:
        await painter.generations.watching.close()
        await painter.studio.close()

    return Service(
        name="painter",
        app=build_app(painter),
        host=settings.host,
        port=settings.port,
        stop=close,
    )


def build_painter(resources: Resources, settings: PainterSettings) -> Painter:
    """Put Painter's parts together; of the resources it takes the database and the vault."""
    shared = resources.settings
    studio = Studio(settings.studio_url)
    knowing = Knowing(studio, time.monotonic)
    keeping = Keeping(resources.database, resources.vault, resources.now, settings.prompts_kept_max)
    generations = Generations(studio, keeping, knowing, Watching(studio), shared.shows_previews)
    fetcher = Fetcher(settings.image_bytes_max, settings.fetch_seconds, resolve, is_public)
    pictures = Pictures(studio, fetcher if settings.fetch_urls else None, settings.image_bytes_max)
    return Painter(
        settings=settings,
        database=resources.database,
        studio=studio,
        knowing=knowing,
        keeping=keeping,
        pictures=pictures,
        generations=generations,
        making=Making(studio, knowing, pictures, keeping, generations),
        mapping=Mapping(studio, knowing, pictures, generations.watching),
        enhancing=Enhancing(
            settings.enhance_url,
            settings.enhance_model,
            shared.hanzo_api_key.get_secret_value(),
            settings.enhance_seconds,
        ),
    )


def build_app(painter: Painter) -> FastAPI:
    """Return the HTTP app."""
    # What it serves as /openapi.json is committed, so that no model is kept in memory for it.
    app = FastAPI(
        title=TITLE, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    errors.install(app)
    add_routes(app, routes_of(painter))
    app.add_middleware(Counting)
    app.add_middleware(Traced)
    return app


def routes_of(painter: Painter) -> Iterator[Route]:
    """Yield every route; the page's come last, since they take whatever is left."""
    for part in (
        GenerateRoutes(painter),
        GenerationRoutes(painter),
        MapRoutes(painter),
        EventRoutes(painter),
        ChoiceRoutes(painter),
        KeepingRoutes(painter),
        HealthRoutes(painter),
        PageRoutes(painter),
    ):
        yield from part.routes()


class Counting:
    """Counts answers by route and status; a plain ASGI layer, so that bodies stay streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on and look at the status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The route's pattern, never the path: paths are chosen by strangers.
                route = getattr(scope.get("route"), "path", "unknown")
                metrics.REQUESTS.labels(route, message["status"]).inc()
            await send(message)

        await self._app(scope, receive, counted)
