"""What of the process a pack may not change while it is imported: it is put back afterwards."""

from __future__ import annotations

import builtins
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

NOT_THERE: Final = object()
STREAMS: Final = ("stdin", "stdout", "stderr")
HOOKS: Final = ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook"))
# Streams that packs put round ours close them when they are collected, so they are kept.
_WRAPPERS: Final[list[object]] = []


@contextmanager
def kept(pack: str, spaces: Sequence[Any] = ()) -> Iterator[None]:
    """Let a pack be imported, and put back what it changed; what it added stays.

    `spaces` are modules and classes whose names must mean what they meant, beside Python's own.
    """
    with ExitStack() as after:
        changed: list[str] = []
        after.callback(_tell, pack, changed)
        for space in (builtins, *spaces):
            after.callback(_put_back, space, _meanings(space), changed)
            after.callback(_unshadow, space, _inherited(space), changed)
        after.callback(_modules_back, dict(sys.modules), changed)
        after.callback(_variables_back, os.environ, dict(os.environ), changed)
        for holder, name in (*HOOKS, *((sys, one) for one in STREAMS)):
            after.callback(_hook_back, holder, name, getattr(holder, name))
        after.enter_context(warnings.catch_warnings())
        after.callback(_logs_back, list(logging.root.handlers), logging.root.level)
        after.callback(_path_back, list(sys.path))
        after.callback(sys.setrecursionlimit, sys.getrecursionlimit())
        after.callback(os.chdir, os.getcwd())
        if threading.current_thread() is threading.main_thread():
            after.callback(_signals_back, _signals(), changed)
        yield


def _tell(pack: str, changed: Sequence[str]) -> None:
    if changed:
        log.warning("node_pack_changed_the_process", pack=pack, put_back=sorted(set(changed))[:50])


def _meanings(space: Any) -> dict[str, Any]:
    """Return what can be called by name; names of a module's own state come and go."""
    return {
        name: value
        for name, value in vars(space).items()
        if not name.startswith("_") or name.endswith("__")
        if callable(value) or isinstance(value, classmethod | property)
    }


def _put_back(space: Any, before: Mapping[str, Any], changed: list[str]) -> None:
    """Give names of a module or a class their meaning again."""
    now = vars(space)
    for name, value in before.items():
        if now.get(name, NOT_THERE) is not value:
            setattr(space, name, value)
            changed.append(f"{space.__name__}.{name}")


def _inherited(space: Any) -> frozenset[str]:
    return frozenset(set(dir(space)) - set(vars(space))) if isinstance(space, type) else frozenset()


def _unshadow(space: Any, inherited: frozenset[str], changed: list[str]) -> None:
    """Take names out of a class that meant something in a class above it."""
    for name in inherited & set(vars(space)):
        delattr(space, name)
        changed.append(f"{space.__name__}.{name}")


def _modules_back(before: Mapping[str, Any], changed: list[str]) -> None:
    for name, module in before.items():
        if sys.modules.get(name, NOT_THERE) is not module:
            sys.modules[name] = module
            changed.append(f"the module {name}")


def _variables_back(
    now: MutableMapping[str, str], before: Mapping[str, str], changed: list[str]
) -> None:
    for name, value in before.items():
        if now.get(name) != value:
            now[name] = value
            changed.append(f"the variable {name}")


def _hook_back(holder: Any, name: str, before: Any) -> None:
    found = getattr(holder, name, None)
    if found is not before:
        _WRAPPERS.append(found)
        setattr(holder, name, before)


def _logs_back(handlers: Sequence[logging.Handler], level: int) -> None:
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.disable(logging.NOTSET)


def _path_back(before: Sequence[str]) -> None:
    """Let folders that a pack added be looked into after all others."""
    added = [one for one in sys.path if one not in before]
    sys.path[:] = [*before, *added]


def _signals() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _signals_back(before: Mapping[int, Any], changed: list[str]) -> None:
    """Hear signals as before, and let no alarm that a pack has set go off."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        # None is a handler that is not Python's: it cannot be set from here.
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)
            changed.append(f"the signal {number}")
