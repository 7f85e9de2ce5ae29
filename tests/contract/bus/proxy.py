"""A TCP wire whose answers can be lost."""

from __future__ import annotations

import asyncio

from tests.contract.bus.told import eventually


class Proxy:
    """Carries bytes to a local port; while `deaf`, what comes back is lost."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._wires: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()
        self.port = 0
        self.deaf = False
        self.lost_bytes = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def lose_answer(self) -> None:
        """Wait until an answer was lost, then cut all wires, so that the client comes again."""
        await eventually(lambda: self.lost_bytes)
        self.cut()
        self.deaf = False

    def cut(self) -> None:
        for wire in self._wires:
            wire.transport.abort()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._wires |= {writer, back_writer}
        for coroutine in (
            self._pump(reader, back_writer, answers=False),
            self._pump(back_reader, writer, answers=True),
        ):
            task = asyncio.create_task(coroutine)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        try:
            while data := await reader.read(65536):
                if answers and self.deaf:
                    self.lost_bytes += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._wires.discard(writer)
            writer.close()
