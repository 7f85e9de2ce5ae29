"""Setting up and leaving the telemetry of one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from libs.core.errors import Misconfigured
from libs.telemetry.logs import set_up_logs
from libs.telemetry.scope import SERVICE
from libs.telemetry.settings import TelemetrySettings
from libs.telemetry.tracing import Recorder, set_up_tracing, shut_down_tracing

# A collector that does not answer must not keep a process from leaving.
FLUSH_SECONDS: Final = 3.0


@contextmanager
def telemetry(process: str, level: str = "info", *, secrets: Iterable[str] = ()) -> Iterator[None]:
    """Log, and trace if that is set, inside the block; what is recorded is sent at its end."""
    settings = TelemetrySettings()
    set_up_logs(process, level, form=settings.log, secrets=secrets)
    set_up_tracing(process, _recorder(settings))
    try:
        yield
    finally:
        shut_down_tracing(FLUSH_SECONDS)


def name_service(name: str) -> None:
    """Say which service the tasks that start from here belong to."""
    SERVICE.set(name)


def _recorder(settings: TelemetrySettings) -> Recorder | None:
    if not settings.otlp_endpoint:
        return None
    try:
        from libs.telemetry.otlp import exporting
    except ImportError as error:
        raise Misconfigured(
            "traces are wanted, and OpenTelemetry's exporter is not installed",
            missing=error.name or "",
            install="opentelemetry-exporter-otlp-proto-http",
        ) from error
    return exporting(settings.otlp_endpoint, settings.trace_ratio)


def secrets_of(settings: BaseSettings) -> list[str]:
    """Return the values that a log line must never hold."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
