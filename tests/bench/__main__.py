"""`make bench`: measure a house against its limits; figures and a chart go to docs/bench."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench.chart import draw
from tests.bench.figures import Taken
from tests.bench.ground import Ground
from tests.bench.measures import MEASURES
from tests.bench.report import missed, page, show
from tests.e2e.houses import ROOT

FOLDER = ROOT / "docs" / "bench"
err = Console(stderr=True)


def main(
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this; may be repeated. One of: {', '.join(MEASURES)}."),
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Give every service a process of its own.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and no table.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of house.json and house.png; docs/bench if all is measured."),
    ] = None,
) -> None:
    """Measure a house on this machine; exit 1 if a limit is missed.

    Example: python -m tests.bench --only throughput --split
    """
    unknown = [name for name in only or [] if name not in MEASURES]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(MEASURES)}")
    # What was started is stopped, whoever ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = _measure([name for name in MEASURES if not only or name in only], split=split)
    told = page(results, split=split)
    folder = out or (FOLDER if not only and not split else None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "house.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        draw(told, folder / "house.png")
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        show(results, Console())
    if folder is not None:
        err.print(f"kept: {folder / 'house.json'}, {folder / 'house.png'}", style="dim")
    raise typer.Exit(1 if missed(results) else 0)


def _measure(names: list[str], *, split: bool) -> dict[str, Taken | str]:
    """Take the measures one after the other; one that fails does not keep others from theirs."""
    results: dict[str, Taken | str] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="studio-bench-") as folder,
        Progress(*columns, console=err) as progress,
        Ground(Path(folder), progress, split) as ground,
    ):
        whole = progress.add_task("all measures", total=len(names))
        for name in names:
            progress.update(whole, description=f"all measures: {MEASURES[name].title}")
            try:
                results[name] = MEASURES[name].take(ground)
            except Exception as error:
                results[name] = f"{type(error).__name__}: {error}"
                err.print(f"{MEASURES[name].title}: {results[name]}", style="red", markup=False)
                ground.forget_house()
            progress.advance(whole)
    return results


if __name__ == "__main__":
    typer.run(main)
