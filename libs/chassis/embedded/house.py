"""The embedded servers of one house: started together, kept running, stopped in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

import structlog

from libs.chassis.embedded import home as homes
from libs.chassis.embedded import nats, postgres, s3
from libs.chassis.embedded.home import Addresses
from libs.chassis.embedded.server import Server
from libs.core.errors import StudioError, Unavailable

ServerName = Literal["nats", "postgres", "s3"]
ALL: frozenset[ServerName] = frozenset(("nats", "postgres", "s3"))
USUAL_PORTS: Mapping[str, int] = {
    "nats": nats.PORT,
    "monitoring": nats.MONITORING_PORT,
    "postgres": postgres.PORT,
    "s3": s3.PORT,
}
WATCH_SECONDS = 0.1
LOOK_SECONDS = 1.0
RESTARTS_MAX = 5
STEADY_SECONDS = 60
RESTART_PAUSE_SECONDS = 0.2
CANCEL_AGAIN_SECONDS = 0.5

log = structlog.get_logger(__name__)


class EmbeddedServers:
    """`async with EmbeddedServers(home, wanted) as addresses`: the wanted servers run inside.

    A server that dies is started again on the same ports and data. One that dies more than
    five times without staying up for a minute in between is given up: `failed` then holds the
    error. Enter it from a thread that lives as long as the servers shall.
    """

    def __init__(
        self,
        home: Path,
        wanted: Collection[ServerName] = ALL,
        *,
        buckets: Collection[str] = (),
        wished_ports: Mapping[str, int] = USUAL_PORTS,
    ) -> None:
        self._home = home
        self._wanted = frozenset(wanted)
        self._buckets = tuple(buckets)
        self._wished = wished_ports
        self._servers: dict[str, Server] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._addresses = Addresses()
        self._urls: dict[str, str] = {}
        self._nats_urls: Mapping[str, str] = {}
        self.failed: asyncio.Future[StudioError]

    async def __aenter__(self) -> Addresses:
        """Claim the folder and start what is wanted, all at once."""
        self.failed = asyncio.get_running_loop().create_future()
        self._home = homes.lay_out(self._home)
        self._lock = homes.claim(self._home)
        try:
            await self._start_all()
        except BaseException:
            await self._end()
            raise
        self._watchers = [
            asyncio.create_task(self._watch(server), name=f"watch-{server.name}")
            for server in self._servers.values()
        ]
        self.announce()
        return self._addresses

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the bus first, so that nothing new comes, then what the bus was drained into."""
        await self._end()

    @property
    def pids(self) -> Mapping[str, int]:
        """The servers' process ids, by name."""
        return {name: server.pid for name, server in self._servers.items()}

    def environment_of(self, user: str) -> dict[str, str]:
        """Return what a process gets instead of the operator's address: that of its NATS user."""
        return {"NATS_URL": self._nats_urls[user]} if self._nats_urls else {}

    def announce(self, **urls: str) -> None:
        """Tell other processes of this user where this house is, with these further URLs."""
        self._urls.update(urls)
        homes.announce(self._home, self._addresses, self._urls)

    async def _start_all(self) -> None:
        starts = {"nats": self._start_nats, "postgres": self._start_postgres, "s3": self._start_s3}
        told = await asyncio.gather(
            *(starts[name]() for name in sorted(self._wanted)), return_exceptions=True
        )
        for error in told:
            if isinstance(error, BaseException):
                raise error
        self._addresses = Addresses(
            **{
                name: value
                for part in told
                if isinstance(part, dict)
                for name, value in part.items()
            }
        )

    async def _start_nats(self) -> dict[str, str]:
        started = await nats.start_nats(
            self._home, port=self._wished["nats"], monitoring_port=self._wished["monitoring"]
        )
        self._servers["nats"] = started.server
        self._nats_urls = started.urls
        return {"nats_url": started.url}

    async def _start_postgres(self) -> dict[str, str]:
        started = await postgres.start_postgres(self._home, port=self._wished["postgres"])
        self._servers["postgres"] = started.server
        return {"database_url": started.url}

    async def _start_s3(self) -> dict[str, str]:
        started = await s3.start_s3(self._home, port=self._wished["s3"], buckets=self._buckets)
        self._servers["s3"] = started.server
        access = started.access
        return {
            "s3_endpoint": access.endpoint,
            "s3_access_key": access.access_key,
            "s3_secret_key": access.secret_key,
            "s3_region": access.region,
        }

    async def _watch(self, server: Server) -> None:
        deaths, steady_since, looked = 0, time.monotonic(), time.monotonic()
        while deaths < RESTARTS_MAX or not server.has_ended:
            await asyncio.sleep(WATCH_SECONDS)
            if not server.has_room:
                # What it cannot write now, it could not write either if it were started anew.
                continue
            server.keep_log_bounded()
            if time.monotonic() - steady_since > STEADY_SECONDS:
                deaths = 0
            if server.has_ended and deaths < RESTARTS_MAX:
                deaths += 1
                await self._restart(server, deaths)
                steady_since = time.monotonic()
            elif time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                await self._renew_if_stuck(server)
        self._give_up(server)

    async def _renew_if_stuck(self, server: Server) -> None:
        """Start a server anew that a full disk has put out of work, now that there is room."""
        reason = "" if server.has_ended else await server.stuck()
        if not reason:
            return
        log.warning("server_stuck", server=server.name, reason=reason)
        try:
            await server.renew()
        except (StudioError, OSError) as error:
            log.warning("server_not_restarted", server=server.name, error=str(error))
        else:
            log.info("server_restarted", server=server.name, pid=server.pid)

    async def _restart(self, server: Server, deaths: int) -> None:
        log.warning("server_died", server=server.name, exit_code=server.exit_code, deaths=deaths)
        await asyncio.sleep(RESTART_PAUSE_SECONDS * (deaths - 1))
        try:
            await server.restart()
        except (StudioError, OSError) as error:
            log.warning("server_not_restarted", server=server.name, error=str(error))
        else:
            log.info("server_restarted", server=server.name, pid=server.pid)

    def _give_up(self, server: Server) -> None:
        error = Unavailable(
            f"{server.name} keeps dying; read its log, put right what it says, and start again",
            restarts=RESTARTS_MAX,
            log=str(homes.log_of(self._home, server.name)),
            last_lines=server.last_lines(),
        )
        log.error("server_given_up", server=server.name, error=str(error))
        if not self.failed.done():
            self.failed.set_result(error)

    async def _end(self) -> None:
        # A library in between may lose a cancellation, so it is repeated until they have ended.
        while running := [watcher for watcher in self._watchers if not watcher.done()]:
            for watcher in running:
                watcher.cancel()
            await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)
        homes.withdraw(self._home)
        rest = dict(self._servers)
        if bus := rest.pop("nats", None):
            await bus.stop()
        await asyncio.gather(*(server.stop() for server in rest.values()))
        self._lock.release()
