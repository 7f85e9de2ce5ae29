"""Logs: readable on a terminal, JSON lines elsewhere; never the words of a prompt."""

from __future__ import annotations

import logging
import sys

import structlog


def set_up_logs(service: str, level: str = "info", *, as_json: bool = False) -> None:
    """Configure logging once per process; every line says which `service` wrote it."""
    number = logging.getLevelNamesMapping()[level.upper()]
    terminal = sys.stderr.isatty() and not as_json
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(colors=True)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, force=True)
