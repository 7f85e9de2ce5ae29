"""Logs: readable on a terminal, JSON lines elsewhere; never the words of a prompt.

Lines of libraries go the same way as our own. What may stand in a line is decided here: errors
are told by kind and place (`redaction.told`), and whatever looks like a secret is masked.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from libs.telemetry.recent import RECENT
from libs.telemetry.redaction import Redaction, told
from libs.telemetry.scope import SCOPE, SERVICE, trace_id
from libs.telemetry.settings import LogForm

LEADING: Final = ("time", "level", "service", "event")
TEXT_CHARACTERS_MAX: Final = 2_000
LIBRARIES_LEVEL: Final = logging.WARNING


def set_up_logs(
    service: str,
    level: str = "info",
    *,
    form: LogForm = "auto",
    secrets: Iterable[str] = (),
    sink: TextIO | None = None,
) -> None:
    """Configure logging once per process; every line says which `service` wrote it."""
    number = logging.getLevelNamesMapping()[level.upper()]
    sink = sink or cast("TextIO", _StandardError())
    as_lines = form == "lines" or (form == "auto" and sink.isatty())
    finish = _Finish(Redaction(secrets), as_lines=as_lines, colours=sink.isatty())
    ours: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _whereabouts(service),
        _errors_without_words,
    ]
    structlog.configure(
        processors=[*ours, finish],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sink),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, finish],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *ours],
        )
    )
    logging.basicConfig(level=max(number, LIBRARIES_LEVEL), handlers=[handler], force=True)
    _take_over_libraries()
    sys.excepthook = _say_why_the_process_ends
    threading.excepthook = _say_why_a_thread_ended


class _StandardError:
    """Standard error as it is when a line is written; one that was replaced may be closed."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def name_worker(worker_id: str) -> None:
    """Let every line of this task, and of those that it starts, name the worker."""
    structlog.contextvars.bind_contextvars(worker_id=worker_id)


def _take_over_libraries() -> None:
    """Let nothing go past our handler, whatever a library has made of its loggers."""
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate, logger.disabled = True, False
    # Off first: logging believes that it still has the warnings when somebody took them back.
    logging.captureWarnings(capture=False)
    logging.captureWarnings(capture=True)


class _Finish:
    """The last processor: one line out of all that is known, without secrets."""

    def __init__(self, redaction: Redaction, *, as_lines: bool, colours: bool) -> None:
        self._redaction = redaction
        self._render: Processor = (
            structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="time")
            if as_lines
            else structlog.processors.JSONRenderer()
        )

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        leading = {key: event.pop(key) for key in LEADING if key in event}
        rest = {key: _bounded(value) for key, value in event.items()}
        line = self._render(logger, name, {**leading, **rest})
        masked = self._redaction.masked(str(line))
        RECENT.add(masked)
        return masked


def _whereabouts(process: str) -> Processor:
    """Say which service speaks, and of which prompt and trace, unless the line says so itself."""

    def add(_logger: WrappedLogger, _name: str, event: MutableMapping[str, Any]) -> EventDict:
        event.setdefault("service", SERVICE.get() or process)
        scope = SCOPE.get()
        known = (
            ("prompt_id", scope.prompt_id),
            ("tenant", scope.tenant),
            ("trace_id", trace_id(scope.trace)),
        )
        for name, value in known:
            if value:
                event.setdefault(name, value)
        return event

    return add


def _errors_without_words(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replace an error by its kind, its place, and its words where they are ours."""
    found = event.pop("exc_info", None)
    error = _error_in(found)
    return {**event, **told(error)} if error is not None else event


def _error_in(found: object) -> BaseException | None:
    if isinstance(found, BaseException):
        return found
    if isinstance(found, tuple):
        return found[1] if isinstance(found[1], BaseException) else None
    return sys.exc_info()[1] if found else None


def _bounded(value: object) -> object:
    """Cut a text that would fill the log; other values are bounded by what they are."""
    if isinstance(value, str):
        return value[:TEXT_CHARACTERS_MAX]
    if isinstance(value, Mapping):
        return {str(name): _bounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(one) for one in value]
    return value if isinstance(value, int | float | None) else str(value)[:TEXT_CHARACTERS_MAX]


def _say_why_the_process_ends(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger(__name__).critical(
        "process_ends", exc_info=error.with_traceback(traceback)
    )


def _say_why_a_thread_ended(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread is not None else ""
    structlog.get_logger(__name__).error("thread_ended", thread=name, exc_info=ended.exc_value)
