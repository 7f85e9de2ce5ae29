"""`studio settings`: every setting, its default and its bounds."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from pydantic import AliasChoices, SecretStr
from pydantic_settings import BaseSettings
from rich.table import Table

from libs.settings import Settings
from libs.telemetry.settings import TelemetrySettings
from services.commands.console import out, plain_errors, print_json
from services.commands.serving import SERVICES

INTRODUCTION = (
    "Every setting is an environment variable, read once at start. "
    "Made by `studio settings --markdown`.\n\n"
    "Two more are options of the commands that run one service: `STUDIO_HEALTH_PORT` (`--health-port`; 0, "
    "the default, serves no probes of its own) and `STUDIO_HEALTH_HOST` (`--health-host`; 0.0.0.0)."
)


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    variable: str
    default: str
    bounds: str
    read_by: str
    description: str


@plain_errors
def settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the docs page.")] = False,
) -> None:
    """List all settings; each is an environment variable.

    Example: studio settings --json
    """
    rows = list(all_settings())
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    if markdown:
        typer.echo(page(rows), nl=False)
        return
    table = Table("variable", "default", "bounds", "read by", "what it is", box=None)
    for row in rows:
        table.add_row(row.variable, row.default, row.bounds, row.read_by, row.description)
    out.print(table)


def all_settings() -> Iterator[Setting]:
    """Yield the shared settings, then each service's own."""
    yield from _rows(Settings, "all")
    yield from _rows(TelemetrySettings, "all")
    for service in sorted(SERVICES):
        name = f"services.{service}.settings"
        if importlib.util.find_spec(name) is None:
            continue
        for value in vars(importlib.import_module(name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, BaseSettings)
                and value.__module__ == name
            ):
                yield from _rows(value, service)


def page(rows: list[Setting]) -> str:
    """Return docs/settings.md."""
    lines = [
        "# Settings",
        "",
        INTRODUCTION,
        "",
        "| variable | default | bounds | read by | what it is |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row.variable}` | {row.default} | {row.bounds} | {row.read_by} | {row.description} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _rows(cls: type[BaseSettings], read_by: str) -> Iterator[Setting]:
    prefix = str(cls.model_config.get("env_prefix") or "")
    for name, field in cls.model_fields.items():
        alias = field.validation_alias
        variable = f"{prefix}{name}".upper()
        if isinstance(alias, AliasChoices):
            variable = str(alias.choices[0])
        elif isinstance(alias, str):
            variable = alias
        yield Setting(
            variable=variable,
            default=_shown(field.get_default(call_default_factory=True, validated_data={})),
            bounds=_bounds(field.metadata),
            read_by=read_by,
            description=field.description or "",
        )


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr) or value in ("", None):
        return ""
    return str(value)


def _bounds(metadata: list[Any]) -> str:
    least = next((bound.ge for bound in metadata if hasattr(bound, "ge")), "")
    most = next((bound.le for bound in metadata if hasattr(bound, "le")), "")
    return f"{least} to {most}" if least != "" or most != "" else ""
