"""A file mapped into memory, and brought there at the speed of the disk where much is wanted.

A mapped file is otherwise read page by page, in the order in which somebody touches it: one
request at a time, each waiting for the disk.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

ON_LINUX: Final = sys.platform == "linux"
# Python of this age does not name them yet.
MAP_NORESERVE: Final = 0x4000
MADV_POPULATE_READ: Final = 22
THREADS: Final = min(8, 2 * (os.cpu_count() or 1))
RANGE_BYTES: Final = 16 * 1024 * 1024
SCRATCH_BYTES: Final = 1024 * 1024
# Below this there is nothing to win.
MUCH_BYTES: Final = 64 * 1024 * 1024
PROBES: Final = 32
# Of the probed pages, so many must be missing from memory.
COLD_SHARE: Final = 0.5


@dataclass(frozen=True)
class Span:
    """A run of bytes in a file."""

    offset: int
    size: int


class MappedFile:
    """The bytes of a file as tensors that share its pages; what is written stays private."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._descriptor = os.dup(file.fileno())
            if ON_LINUX:
                flags = mmap.MAP_PRIVATE | MAP_NORESERVE
                self._map = mmap.mmap(file.fileno(), 0, flags=flags)
            else:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._octets = torch.frombuffer(self._map, dtype=torch.uint8)

    def __del__(self) -> None:
        """Let go of the file; the tensors hold the mapping as long as they live."""
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def octets(self, span: Span) -> Tensor:
        """Return bytes of the file, mapped."""
        return self._octets[span.offset : span.offset + span.size]

    def each(self, spans: Mapping[str, Span], use: Callable[[str, Tensor], T]) -> dict[str, T]:
        """Return what `use` makes of the bytes of each span.

        Where much is wanted that would have to come from the disk, several threads bring it
        into memory and call `use` for what is there.
        """
        if not self._is_slow(spans):
            return {name: use(name, self.octets(span)) for name, span in spans.items()}
        in_order = sorted(spans, key=lambda name: spans[name].offset)

        def fetched(name: str) -> T:
            self._fetch(spans[name])
            return use(name, self.octets(spans[name]))

        with ThreadPoolExecutor(THREADS, "fetch") as pool:
            made = dict(zip(in_order, pool.map(fetched, in_order), strict=True))
        return {name: made[name] for name in spans}

    def _is_slow(self, spans: Mapping[str, Span]) -> bool:
        """Say whether much is wanted, and most of it is not in memory."""
        wanted = sum(span.size for span in spans.values())
        if wanted < MUCH_BYTES or not ON_LINUX:
            return False
        first = min(span.offset for span in spans.values())
        last = max(span.offset + span.size for span in spans.values())
        places = (first + (last - first) * number // PROBES for number in range(PROBES))
        return sum(not self._is_in_memory(place) for place in places) >= COLD_SHARE * PROBES

    def _is_in_memory(self, place: int) -> bool:
        try:
            os.preadv(self._descriptor, [bytearray(1)], place, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            # Not every file system can tell; then it is left to the mapping.
            if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                raise
        return True

    def _fetch(self, span: Span) -> None:
        """Bring a span into memory, and into the mapping where the kernel can do that at once."""
        end = span.offset + span.size
        start = span.offset - span.offset % mmap.PAGESIZE
        while start < end:
            size = min(RANGE_BYTES, end - start)
            try:
                self._map.madvise(MADV_POPULATE_READ, start, size)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._read_through(start, size)
            start += size

    def _read_through(self, start: int, size: int) -> None:
        scratch = bytearray(min(size, SCRATCH_BYTES))
        done = 0
        while done < size:
            count = os.preadv(self._descriptor, [scratch], start + done)
            if not count:
                return
            done += count
