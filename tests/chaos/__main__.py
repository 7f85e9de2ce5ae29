"""`make chaos`: kill, freeze and restart everything under load, then prove that nothing broke."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path
from random import Random, SystemRandom
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.chaos import results
from tests.chaos.checker.inspection import inspect
from tests.chaos.course import Course, Plan, run
from tests.chaos.faults import FAULTS
from tests.chaos.ground import prepared
from tests.chaos.proofs import check_proofs
from tests.chaos.report import Report, shown, tell_stories, told_events

err = Console(stderr=True)
out = Console(width=None if Console().is_terminal else 120)
SEEDS = 1_000_000


def main(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long the load is kept on.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Repeat this order; 0 chooses one.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="How often each fault strikes.")] = 2,
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this one; a name, or its beginning.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Put the results into docs/chaos.md and docs/chaos.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Leave logs, all events and the report in this folder.")
    ] = None,
) -> None:
    """Harm a house of real processes under load; exit 1 if a single promise was broken.

    Example: python -m tests.chaos --minutes 2 --seed 7 --fault gateway --fault nats.kill
    """
    # Asked to end, we stop what we started: the house is in a session of its own.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    chosen = [name for name in FAULTS if not fault or any(map(name.startswith, fault))]
    if not chosen:
        raise typer.BadParameter(f"known faults: {', '.join(FAULTS)}", param_hint="--fault")
    plan = Plan(seed or SystemRandom().randrange(1, SEEDS), minutes * 60, chosen, rounds)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        report = asyncio.run(_run(Path(keep or folder) / "home", plan))
    if keep:
        (keep / "report.json").write_text(json.dumps(report.facts(), indent=1))
        (keep / "events.jsonl").write_text("\n".join(told_events(report)))
    if write:
        results.write(report.facts())
    if as_json:
        print(json.dumps(report.facts(), indent=1))
    else:
        out.print(shown(report))
    tell_stories(report, err)
    raise typer.Exit(0 if report.clean else 1)


async def _run(home: Path, plan: Plan) -> Report:
    home.parent.mkdir(parents=True, exist_ok=True)
    strikes = len(plan.schedule)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as progress:
        bar = progress.add_task("starting a house", total=strikes)
        done = -2  # The first two steps are no strikes.

        def step(what: str) -> None:
            nonlocal done
            done += 1
            progress.update(bar, description=what, completed=min(max(done, 0), strikes))

        step("starting a house")
        async with prepared(home, Random(plan.seed + 2)) as ground:
            course: Course
            course, evidence = await run(ground, plan, step)
            breaches = inspect(evidence)
            breaches += check_proofs(ground.house)
    return Report(course, evidence, breaches)


if __name__ == "__main__":
    typer.run(main)
