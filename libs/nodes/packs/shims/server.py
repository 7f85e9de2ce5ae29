"""`server`: what packs hang on a web server, which a worker has none of; it is told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import structlog

F = TypeVar("F", bound=Callable[..., Any])

log = structlog.get_logger(__name__)
METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options", "view", "route")


class Routes:
    """Takes route handlers, and serves none: whoever looks through them finds none."""

    def __getattr__(self, method: str) -> Callable[..., Callable[[F], F]]:
        if method not in METHODS:
            raise AttributeError(method)

        def at(*path: object, **_: object) -> Callable[[F], F]:
            log.warning("node_pack_route_not_served", method=method, path=_path(path))
            return lambda handler: handler

        return at

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def static(self, path: object, *_: object, **__: object) -> None:
        """Take a folder of files, and serve none."""
        log.warning("node_pack_route_not_served", method="static", path=str(path))


class Router(Routes):
    """The same under the names of the server's router, which take the handler at once."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = name.removeprefix("add_")
        if not name.startswith("add_") or method not in (*METHODS, "static", "resource"):
            raise AttributeError(name)

        def add(*path: object, **_: object) -> None:
            log.warning("node_pack_route_not_served", method=method, path=_path(path))

        return add

    def routes(self) -> list[Any]:
        """Return all routes: none."""
        return []


class App:
    """The server's application: what is hung on it is never called."""

    def __init__(self) -> None:
        self.router = Router()
        self.middlewares: list[Any] = []
        self.on_startup: list[Any] = []
        self.on_shutdown: list[Any] = []
        self.on_cleanup: list[Any] = []

    def add_routes(self, routes: object) -> None:
        """Take routes, and serve none."""
        log.warning("node_pack_route_not_served", method="routes", path=str(routes)[:200])


class PromptServer:
    """The one server that packs know: messages to pages and routes go nowhere."""

    instance: PromptServer

    def __init__(self) -> None:
        self.routes = Routes()
        self.app = App()
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.supports: list[str] = []
        self.sockets: dict[str, Any] = {}
        self.prompt_queue = SimpleNamespace(currently_running={}, history={}, queue=[])
        # No address is anybody's: what packs build with it leads nowhere.
        self.address = "127.0.0.1"
        self.port = 0

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        """Take a message to a page of the pack's own; it does not reach the page."""
        log.debug("node_pack_message_not_sent", event_name=event)

    async def send(self, event: str, data: Any, sid: str | None = None) -> None:
        """Take a message as `send_sync` does."""
        self.send_sync(event, data, sid)

    def send_progress_text(self, text: str, node_id: str, sid: str | None = None) -> None:
        """Take a line about a node; it does not reach the page."""
        self.send_sync("progress_text", text, sid)

    def add_routes(self) -> None:
        """Take the wish that routes are served from now on."""

    def add_on_prompt_handler(self, handler: Callable[..., Any]) -> None:
        """Take what would change prompts on their way in, and never call it."""
        log.warning("node_pack_prompt_handler_not_called")


def _path(given: tuple[object, ...]) -> str:
    return " ".join(one for one in given if isinstance(one, str))


PromptServer.instance = PromptServer()
