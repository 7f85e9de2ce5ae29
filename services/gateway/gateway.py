"""Everything that routes may use, in one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import HTTPConnection

from libs.bus.base import Bus
from libs.sealed.base import Vault
from services.gateway.admission import Admission
from services.gateway.archive import Archive
from services.gateway.assets import Assets
from services.gateway.auth import Gate, Principal
from services.gateway.catalogue import Catalogues
from services.gateway.commands import Commands
from services.gateway.documents import Documents
from services.gateway.editor import Editor
from services.gateway.extensions import Extensions
from services.gateway.files import Files
from services.gateway.fleet import Fleet
from services.gateway.hub import Hub
from services.gateway.jobs import Jobs
from services.gateway.live import Live
from services.gateway.logins import Logins
from services.gateway.logs import Logs
from services.gateway.resuming import Resuming
from services.gateway.saved import SavedWorkflows
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Gateway:
    """The gateway's hands; `main.build` puts them together."""

    settings: GatewaySettings
    bus: Bus
    vault: Vault
    archive: Archive
    gate: Gate
    hub: Hub
    live: Live
    admission: Admission
    commands: Commands
    catalogues: Catalogues
    files: Files
    assets: Assets
    jobs: Jobs
    documents: Documents
    saved: SavedWorkflows
    editor: Editor | None
    extensions: Extensions
    logins: Logins
    fleet: Fleet
    logs: Logs
    resuming: Resuming
    now: Callable[[], datetime]

    async def who(self, connection: HTTPConnection) -> Principal:
        """Return who is asking."""
        return await self.gate.principal(
            connection.headers,
            connection.query_params,
            connection.cookies,
            acts=connection.scope.get("method") not in ("GET", "HEAD"),
        )

    async def ready(self) -> str:
        """Say what is still missing before prompts are taken, or nothing."""
        return "" if self.live.is_caught_up else "the queue is still being read"
