"""What was measured, as tables for a person and as JSON for a program."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Breakdown, Taken
from tests.bench.measures import MEASURES

Results = Mapping[str, Taken | str]


def page(results: Results, *, split: bool) -> dict[str, Any]:
    """Return the JSON document: figures, limits and breakdowns of every measure."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "split": split,
        "measures": {name: _entry(name, taken) for name, taken in results.items()},
        "missed": missed(results),
    }


def missed(results: Results) -> list[str]:
    """Return every limit that does not hold, and every measure that could not be taken."""
    found = []
    for name, taken in results.items():
        if isinstance(taken, str):
            found.append(name)
            continue
        found += [
            f"{name}.{figure}"
            for figure, limit in MEASURES[name].limits.items()
            if not limit.holds(taken.figures[figure])
        ]
    return found


def show(results: Results, console: Console) -> None:
    """Print the breakdowns, and then every figure beside its limit."""
    for taken in results.values():
        if not isinstance(taken, str):
            for breakdown in taken.breakdowns.values():
                console.print(_breakdown(breakdown))
                console.print()
    table = Table("measure", "figure", box=None, title="Figures", title_justify="left")
    table.add_column("value", justify="right")
    table.add_column("limit")
    for name, taken in results.items():
        title = MEASURES[name].title
        if isinstance(taken, str):
            table.add_row(title, f"[red]not measured: {taken.strip().splitlines()[-1]}[/red]")
            continue
        for figure, value in taken.figures.items():
            limit = MEASURES[name].limits.get(figure)
            style = "dim" if limit is None else "green" if limit.holds(value) else "bold red"
            verdict = (
                "" if limit is None else f"{limit}  {'holds' if limit.holds(value) else 'missed'}"
            )
            table.add_row(title, figure, f"{value:,.2f}", verdict, style=style)
            title = ""
    console.print(table)


def _entry(name: str, taken: Taken | str) -> dict[str, Any]:
    measure = MEASURES[name]
    if isinstance(taken, str):
        return {"title": measure.title, "failed": taken}
    limits = {
        figure: {
            "at_least" if limit.floor else "at_most": limit.value,
            "unit": limit.unit,
            "holds": limit.holds(taken.figures[figure]),
        }
        for figure, limit in measure.limits.items()
    }
    return {
        "title": measure.title,
        "figures": {figure: round(value, 3) for figure, value in taken.figures.items()},
        "limits": limits,
        **{key: breakdown.as_json() for key, breakdown in taken.breakdowns.items()},
    }


def _breakdown(breakdown: Breakdown) -> Table:
    table = Table(title=breakdown.title, title_justify="left", box=None)
    for number, column in enumerate(breakdown.columns):
        table.add_column(column, justify="right" if number else "left")
    for row in breakdown.rows:
        table.add_row(*(str(cell) for cell in row))
    return table
