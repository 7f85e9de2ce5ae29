"""The gateway's table of contents."""

from __future__ import annotations

import time
from functools import partial

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.chassis.packs import NodeTypes
from libs.chassis.service import Resources, Service
from libs.telemetry.http import Traced
from libs.telemetry.recent import RECENT
from services.gateway import errors, metrics
from services.gateway.admission import Admission
from services.gateway.archive import Archive
from services.gateway.assets import Assets
from services.gateway.auth import Gate
from services.gateway.catalogue import Catalogues
from services.gateway.commands import Commands
from services.gateway.documents import Documents
from services.gateway.editor import LASTING_FOLDER, Editor, EditorFiles, installed
from services.gateway.extensions import Extensions
from services.gateway.files import Files
from services.gateway.fleet import Fleet
from services.gateway.gateway import Gateway
from services.gateway.hub import Hub
from services.gateway.jobs import Jobs
from services.gateway.live import Live
from services.gateway.logins import Logins
from services.gateway.logs import Logs
from services.gateway.previewing import Previewing
from services.gateway.rendering import Rendering
from services.gateway.resuming import Resuming
from services.gateway.routes.account import AccountRoutes
from services.gateway.routes.events import EventRoutes
from services.gateway.routes.files import FileRoutes
from services.gateway.routes.fixed import FixedRoutes
from services.gateway.routes.health import HealthRoutes
from services.gateway.routes.jobs import JobRoutes
from services.gateway.routes.login import LoginRoutes
from services.gateway.routes.nodes import NodeRoutes
from services.gateway.routes.packs import PackRoutes
from services.gateway.routes.page import PageRoutes
from services.gateway.routes.prompts import PromptRoutes
from services.gateway.routes.reading import ReadingRoutes
from services.gateway.routes.studio import StudioRoutes
from services.gateway.routes.table import add_routes
from services.gateway.routes.templates import TemplateRoutes
from services.gateway.routes.userdata import UserdataRoutes
from services.gateway.routes.v2_assets import AssetRoutes
from services.gateway.routes.v2_jobs import V2JobRoutes
from services.gateway.routes.workflows import WorkflowRoutes
from services.gateway.routes.ws import SocketRoute
from services.gateway.saved import SavedWorkflows
from services.gateway.sending import Sending
from services.gateway.settings import GatewaySettings
from services.gateway.telling import Telling
from services.gateway.withdrawal import Withdrawals

TITLE = "Hanzo Studio"
SHARED = "extensions"


def build(resources: Resources, settings: GatewaySettings | None = None) -> Service:
    """Wire the gateway on real adapters."""
    settings = settings or GatewaySettings()
    gateway = build_gateway(resources, settings)
    live = gateway.live
    previewing = Previewing(
        resources.bus, gateway.hub, live.queue.get, resources.settings.shows_previews
    )

    async def close() -> None:
        gateway.hub.close()

    return Service(
        name="gateway",
        tasks={
            "feed": live.follow,
            "recorded": live.hear_recorded,
            "checkpoint": live.poll_recorded,
            "progress": live.hear_progress,
            "tick": live.tick,
            "previews": previewing.hear,
            "fleet": gateway.fleet.hear,
            "logs": gateway.logs.tell,
        },
        app=build_app(gateway),
        host=settings.host,
        port=settings.port,
        ready=gateway.ready,
        stop=close,
    )


def build_gateway(resources: Resources, settings: GatewaySettings) -> Gateway:
    """Put the gateway's parts together."""
    journal, vault = resources.bus.journal, resources.vault
    archive = Archive(resources.database)
    hub = Hub(settings.ws_sockets_max, settings.ws_frames_max)
    sending = Sending(hub, resources.artifacts.get)
    rendering = Rendering(vault)
    telling = Telling(hub, rendering, settings.signal_wait_seconds, time.monotonic, sending)
    live = Live(resources.bus, archive, hub, telling)
    documents = Documents(resources.database, vault, resources.now)
    types = NodeTypes(resources.database, resources.artifacts)
    catalogues = Catalogues(archive, types.known, settings.catalogue_seconds, time.monotonic)
    files = Files(resources.artifacts, vault, archive, catalogues, settings, resources.now)
    return Gateway(
        settings=settings,
        bus=resources.bus,
        vault=vault,
        archive=archive,
        gate=Gate(settings.auth, settings.host, archive),
        hub=hub,
        live=live,
        admission=Admission(
            journal, vault, archive, live, Withdrawals(journal), settings, resources.now
        ),
        commands=Commands(journal, archive, live, settings),
        catalogues=catalogues,
        files=files,
        assets=Assets(archive, documents, files),
        jobs=Jobs(live, archive, vault),
        documents=documents,
        saved=SavedWorkflows(resources.database, vault, resources.now),
        editor=installed() if settings.editor else None,
        extensions=Extensions(archive, resources.artifacts, settings.node_pack_pages),
        logins=Logins(archive, settings.session_seconds, resources.now, time.monotonic),
        fleet=Fleet(resources.bus, time.monotonic),
        logs=Logs(RECENT, hub),
        resuming=Resuming(archive, live, rendering),
        now=resources.now,
    )


def build_app(gateway: Gateway) -> FastAPI:
    """Return the HTTP and WebSocket app."""
    # The usual documents pages load scripts from other hosts, so only the schema is served.
    app = FastAPI(
        title=TITLE,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        # What is unknown stays unknown: editors probe for files that are not there.
        redirect_slashes=False,
    )
    errors.install(app)
    parts = (
        PromptRoutes(gateway),
        ReadingRoutes(gateway),
        FileRoutes(gateway),
        NodeRoutes(gateway),
        PackRoutes(gateway),
        JobRoutes(gateway),
        EventRoutes(gateway),
        FixedRoutes(gateway),
        UserdataRoutes(gateway),
        WorkflowRoutes(gateway),
        AssetRoutes(gateway),
        V2JobRoutes(gateway),
        StudioRoutes(gateway),
        TemplateRoutes(gateway),
        AccountRoutes(gateway),
        HealthRoutes(gateway),
        PageRoutes(gateway),
        LoginRoutes(gateway),
    )
    # Before all others: whoever opens the editor asks for hundreds of these files at once.
    _add_folders(app, gateway.editor, lasting=True)
    _add_own_extensions(app, gateway.editor)
    add_routes(app, [route for part in parts for route in part.routes()])
    SocketRoute(gateway).add_to(app)
    _add_editor(app, gateway.editor)
    app.add_middleware(Counting)
    app.add_middleware(Traced)
    return app


def _add_editor(app: FastAPI, editor: Editor | None) -> None:
    """Serve the editor's own files, as they are; unknown paths stay unknown."""
    if editor is None:
        return
    _add_folders(app, editor, lasting=False)
    for name in editor.files:
        app.add_route(f"/{name}", partial(_editor_file, editor, name))


def _add_folders(app: FastAPI, editor: Editor | None, *, lasting: bool) -> None:
    """Serve the folder whose files never change, or those whose paths may be a pack's as well."""
    if editor is None:
        return
    for folder in editor.folders:
        if (folder == LASTING_FOLDER) is lasting:
            app.mount(f"/{folder}", EditorFiles(editor.root / folder))


def _add_own_extensions(app: FastAPI, editor: Editor | None) -> None:
    """Serve the editor's own scripts, which lie among those of node packs."""
    root = editor.root / SHARED if editor is not None else None
    for path in sorted(root.iterdir()) if root is not None and root.is_dir() else ():
        if path.is_dir():
            app.mount(f"/{SHARED}/{path.name}", EditorFiles(path))


async def _editor_file(editor: Editor, name: str, _request: Request) -> Response:
    return editor.file(name)


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
