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


def errors_end_with(exit_code: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Turn an error of the family into a few lines and an exit code; no traceback for a person."""

    def guard(command: Callable[P, R]) -> Callable[P, R]:
        @wraps(command)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return command(*args, **kwargs)
            except StudioError as error:
                err.print(f"[red]{error.code}[/red]: {error.message}", markup=True)
                for name, value in error.facts.items():
                    err.print(f"  {name}: {value}", markup=False)
                raise typer.Exit(exit_code) from error

        return guarded

    return guard


plain_errors = errors_end_with(1)
