"""`server`: what packs hang on a web server, which a worker has none of; it is told of."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import structlog

F = TypeVar("F", bound=Callable[..., Any])

log = structlog.get_logger(__name__)
METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options", "view", "route")


class Routes:
    """Takes route handlers, and serves none."""

    def __getattr__(self, method: str) -> Callable[..., Callable[[F], F]]:
        if method not in METHODS:
            raise AttributeError(method)

        def at(*path: object, **_: object) -> Callable[[F], F]:
            log.warning("node_pack_route_not_served", method=method, path=" ".join(map(str, path)))
            return lambda handler: handler

        return at

    def static(self, path: object, *_: object, **__: object) -> None:
        """Take a folder of files, and serve none."""
        log.warning("node_pack_route_not_served", method="static", path=str(path))


class PromptServer:
    """The one server that packs know: messages to pages and routes go nowhere."""

    instance: PromptServer

    def __init__(self) -> None:
        self.routes = Routes()
        self.app = SimpleNamespace(router=SimpleNamespace(add_static=self.routes.static))
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.supports: list[str] = []

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        """Take a message to a page of the pack's own, which the editor does not load."""
        log.debug("node_pack_message_not_sent", event_name=event)

    async def send(self, event: str, data: Any, sid: str | None = None) -> None:
        """Take a message as `send_sync` does."""
        self.send_sync(event, data, sid)

    def add_on_prompt_handler(self, handler: Callable[..., Any]) -> None:
        """Take what would change prompts on their way in, and never call it."""
        log.warning("node_pack_prompt_handler_not_called")


PromptServer.instance = PromptServer()
