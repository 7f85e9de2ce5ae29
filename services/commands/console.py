"""How commands speak: colour only on a terminal, JSON where a program reads, errors with advice."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console

from libs.core.errors import StudioError

P = ParamSpec("P")
R = TypeVar("R")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """Print one JSON document, and nothing else, on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn an error of the family into two lines and exit code 1; no traceback for a person."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StudioError as error:
            err.print(f"[red]{error.code}[/red]: {error.message}", markup=True)
            for name, value in error.facts.items():
                err.print(f"  {name}: {value}", markup=False)
            raise typer.Exit(1) from error

    return guarded
