"""WS /ws?clientId=&since=: frames out; one optional message in."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from libs.core.errors import StudioError
from libs.core.jsonvalue import JsonObject
from services.gateway import metrics
from services.gateway.auth import Principal
from services.gateway.away import PARTINGS
from services.gateway.domain.frames import Frame, status
from services.gateway.domain.submission import client_id
from services.gateway.errors import response_of
from services.gateway.gateway import Gateway
from services.gateway.hub import Socket, text_of
from services.gateway.resuming import since_of
from services.gateway.routes.fixed import server_features
from services.gateway.routes.prompts import CATCH_UP_SECONDS

TRY_AGAIN_LATER = 1013
SEND_SECONDS = 20.0
MESSAGE_CHARACTERS_MAX = 65_536


@dataclass(frozen=True)
class SocketRoute:
    """One socket per client; a second one with the same id replaces the first."""

    gateway: Gateway

    def add_to(self, app: FastAPI) -> None:
        """Add the route, bare and under /api."""
        app.add_api_websocket_route("/ws", self.socket)
        app.add_api_websocket_route("/api/ws", self.socket)

    async def socket(self, websocket: WebSocket) -> None:
        """Greet, then pass on frames until either side leaves."""
        try:
            who = await self.gateway.who(websocket)
            named = client_id(websocket.query_params.get("clientId")) or uuid.uuid4().hex
            since = since_of(websocket.query_params.get("since"))
            await self.gateway.live.caught_up(CATCH_UP_SECONDS)
            if since is not None:
                await self.gateway.resuming.check(since)
            line = self.gateway.hub.join(who.owner, named)
            # A page connects again without a word of where it was; a program says it, or begins.
            left = self.gateway.hub.away.place_of(who.owner, named)
            is_page = since is None and "origin" in websocket.headers
        except StudioError as error:
            await websocket.send_denial_response(response_of(error))
            return
        metrics.SOCKETS.inc()
        try:
            if await self._greet(who, line, left if is_page else since, websocket, is_page):
                await websocket.accept()
                await self._serve(websocket, line)
        finally:
            self.gateway.hub.leave(line)
            metrics.SOCKETS.dec()

    async def _greet(
        self, who: Principal, line: Socket, since: int | None, websocket: WebSocket, is_page: bool
    ) -> bool:
        """Say how the queue stands, what was missed, and where the client's running prompts are.

        What a page missed that did not ask for it is told as far as it is known.

        The place is taken when the line is joined and before anything is waited for: what
        comes later is in the line, what came before is told here, and nothing falls in between.
        """
        live, resuming = self.gateway.live, self.gateway.resuming
        reached = live.telling.reached(who.owner, line.client_id)
        line.stand(reached, since)
        line.told_remaining = live.queue.remaining(who.owner)
        told = status(line.told_remaining)
        told = Frame(told.type, {**told.data, "sid": line.client_id})
        place = line.place
        messages = [text_of(told, place if since is None else since)]
        now = [
            text_of(frame, place)
            for story in live.queue.running(who.owner)
            if story.submitted.client_id == line.client_id
            for frame in live.telling.catch_up(story)
        ]
        if since is not None:
            known = resuming.open_of(who.owner, line.client_id)
            try:
                missed = await resuming.missed(who.owner, line.client_id, known, since, reached)
            except StudioError as error:
                if not is_page:
                    await websocket.send_denial_response(response_of(error))
                    return False
                missed = []
            messages += [text_of(frame, frame.seq) for frame in missed]
        messages += now
        line.begin(messages)
        return True

    async def _serve(self, websocket: WebSocket, line: Socket) -> None:
        sending = asyncio.ensure_future(self._send(websocket, line))
        hearing = asyncio.ensure_future(self._hear(websocket, line))
        try:
            await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, hearing):
                task.cancel()
            await asyncio.gather(sending, hearing, return_exceptions=True)
            if line.reason and websocket.application_state is WebSocketState.CONNECTED:
                await _close(websocket, line.reason)

    async def _send(self, websocket: WebSocket, line: Socket) -> None:
        """Send frame by frame; a client that takes nothing for too long is dropped."""
        while (text := await line.next()) is not None:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await _sent(websocket, text)
            except TimeoutError:
                line.drop("too slow")
            except (WebSocketDisconnect, RuntimeError):
                return

    async def _hear(self, websocket: WebSocket, line: Socket) -> None:
        """Answer feature flags; nothing else that a client says means anything."""
        while True:
            try:
                message = await websocket.receive()
            except RuntimeError:
                return
            if message["type"] == "websocket.disconnect":
                line.parted = message.get("code") in PARTINGS
                return
            if (flags := _feature_flags(message.get("text"))) is not None:
                line.wants_places = flags.get("supports_preview_metadata") is True
                features = server_features(self.gateway.settings)
                line.tell(Frame("feature_flags", features))


async def _sent(websocket: WebSocket, message: str | bytes) -> None:
    if isinstance(message, bytes):
        await websocket.send_bytes(message)
    else:
        await websocket.send_text(message)


def _feature_flags(text: object) -> JsonObject | None:
    """Return what a client says that it can do, None if it says something else."""
    if not isinstance(text, str) or len(text) > MESSAGE_CHARACTERS_MAX:
        return None
    try:
        message: JsonObject = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("type") != "feature_flags":
        return None
    flags = message.get("data")
    return flags if isinstance(flags, dict) else {}


async def _close(websocket: WebSocket, reason: str) -> None:
    try:
        async with asyncio.timeout(1):
            await websocket.close(TRY_AGAIN_LATER, reason)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return
