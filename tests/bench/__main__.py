"""`make bench`: measure a house against its limits; figures and a chart go to docs/bench."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench import throughput
from tests.bench.figures import Limit, Taken
from tests.bench.ground import Ground
from tests.e2e.houses import ROOT

FOLDER = ROOT / "docs" / "bench"
err = Console(stderr=True)


@dataclass(frozen=True)
class Measure:
    """One thing that is measured, and the limits of its figures."""

    title: str
    take: Callable[[Ground], Taken]
    limits: dict[str, Limit] = field(default_factory=dict)


MEASURES = {
    "throughput": Measure(
        "End to end, without a model",
        throughput.measure,
        {"prompts_per_second": Limit(25, "/s", floor=True)},
    ),
}


def main(
    only: Annotated[
        list[str] | None, typer.Option(help=f"Only this measure: {', '.join(MEASURES)}.")
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Give every service a process of its own.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure a house on this machine; exit 1 if a limit is missed.

    Example: python -m tests.bench --only throughput --split
    """
    names = only or list(MEASURES)
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}; there are {', '.join(MEASURES)}")
    taken = _measure(names, split=split)
    if as_json:
        sys.stdout.write(json.dumps(_page(taken), indent=2) + "\n")
    else:
        _print(taken)
    missed = [
        figure
        for name, found in taken.items()
        for figure, limit in MEASURES[name].limits.items()
        if not limit.holds(found.figures[figure])
    ]
    raise typer.Exit(1 if missed else 0)


def _measure(names: list[str], *, split: bool) -> dict[str, Taken]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as folder, Progress(*columns, console=err) as progress:
        ground = Ground(Path(folder), progress, split)
        try:
            return {name: MEASURES[name].take(ground) for name in names}
        finally:
            ground.close()


def _page(taken: dict[str, Taken]) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(terse=True)},
        **{
            name: {figure: round(value, 3) for figure, value in found.figures.items()}
            | {key: table.as_json() for key, table in found.breakdowns.items()}
            for name, found in taken.items()
        },
    }


def _print(taken: dict[str, Taken]) -> None:
    console = Console()
    for found in taken.values():
        for breakdown in found.breakdowns.values():
            table = Table(*breakdown.columns, title=breakdown.title, box=None)
            for row in breakdown.rows:
                table.add_row(*(str(cell) for cell in row))
            console.print(table)
    table = Table("measure", "figure", "value", "limit", box=None)
    for name, found in taken.items():
        for figure, value in found.figures.items():
            limit = MEASURES[name].limits.get(figure)
            style = "" if limit is None else "green" if limit.holds(value) else "red"
            shown = f"{value:,.2f}"
            table.add_row(
                name, figure, f"[{style}]{shown}[/]" if style else shown, str(limit or "")
            )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
