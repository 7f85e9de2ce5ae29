"""Ports on loopback: the usual one where it is free, any free one otherwise."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress

from libs.core.errors import Unavailable

LOOPBACK = "127.0.0.1"
# Below the range from which the system takes ports for outgoing connections.
COMPANION_RANGE = range(20_000, 32_000)
COMPANION_DISTANCE = 10_000
COMPANION_TRIES = 50


def choose(
    wished: Mapping[str, int], with_companion: Collection[str] = frozenset()
) -> dict[str, int]:
    """Choose a free port for each name; a wish of 0 means any.

    A name in `with_companion` gets a port whose number plus 10000 is free as well.
    """
    with ExitStack() as held:
        # All are held until the last is chosen, so that no port is given twice.
        return {
            name: _with_companion(held) if name in with_companion else _one(port, held)
            for name, port in wished.items()
        }


def out_of_the_way(names: Collection[str]) -> dict[str, int]:
    """Choose a free port for each name that no outgoing connection takes before it is used."""
    with ExitStack() as held:
        return {name: _out_of_the_way(held) for name in names}


def _out_of_the_way(held: ExitStack) -> int:
    for port in random.sample(COMPANION_RANGE, COMPANION_TRIES):
        with suppress(OSError):
            return _hold(port, held)
    raise Unavailable("no free port on loopback", tries=COMPANION_TRIES)


def _one(wished: int, held: ExitStack) -> int:
    if wished and not _answers(wished):
        try:
            return _hold(wished, held)
        except OSError:
            return _hold(0, held)
    return _hold(0, held)


def _with_companion(held: ExitStack) -> int:
    for port in random.sample(COMPANION_RANGE, COMPANION_TRIES):
        try:
            _hold(port + COMPANION_DISTANCE, held)
            return _hold(port, held)
        except OSError:
            continue
    raise Unavailable("no free pair of ports on loopback", tries=COMPANION_TRIES)


def _hold(port: int, held: ExitStack) -> int:
    listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    chosen: int = listener.getsockname()[1]
    return chosen


def _answers(port: int) -> bool:
    # A bind alone is not proof: some systems allow it beside a listener on all addresses.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(0.5)
        return client.connect_ex((LOOPBACK, port)) == 0
