"""Keeping the results of a run: figures as JSON, and the table in docs/chaos.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.houses import ROOT

PAGE = ROOT / "docs" / "chaos.md"
FOLDER = ROOT / "docs" / "chaos"
BEGIN, END = (
    "<!-- results: written by `python -m tests.chaos --write` -->",
    "<!-- end of results -->",
)
HEAD = "| fault | times | prompts | ended | lost | doubled | mis-billed | recover p50 | max | slowest |"


def write(facts: dict[str, Any], page: Path = PAGE, folder: Path = FOLDER) -> None:
    """Keep the figures of a run, and put them in place of the last ones on the page."""
    folder.mkdir(exist_ok=True)
    (folder / "house.json").write_text(json.dumps(facts, indent=1) + "\n")
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{markdown(facts)}\n{END}{after}")


def markdown(facts: dict[str, Any]) -> str:
    """Return the figures for a reader of the page."""
    rows = [HEAD, "|---" + "|---:" * 9 + "|"]
    for line in facts["faults"]:
        seconds = ("recover_p50_seconds", "recover_max_seconds", "slowest_prompt_seconds")
        cells = [
            f"`{line['fault']}`",
            *(str(line[name]) for name in ("times", "prompts", "ended", "lost", "doubled")),
            str(line["misbilled"]),
            *("-" if line[name] is None else f"{line[name]:.1f} s" for name in seconds),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return f"\n{_totals(facts)}\n\n" + "\n".join(rows) + "\n"


def _totals(facts: dict[str, Any]) -> str:
    totals = facts["totals"]
    outcomes = ", ".join(f"{count} {name}" for name, count in totals["outcomes"].items())
    return (
        f"{facts['at']}, {facts['machine']}, seed {facts['seed']}: "
        f"**{totals['strikes']} faults in {facts['load_seconds']:.0f} s, "
        f"{totals['accepted']} prompts accepted, {totals['ended']} ended, {totals['lost']} lost, "
        f"{totals['doubled']} doubled, {totals['misbilled']} mis-billed, {totals['broken']} "
        f"otherwise broken.**\nOf {totals['submissions']} submissions; ends: {outcomes}. "
        f"{totals['lost_answers_retried']} lost answers were retried, {totals['leases_expired']} "
        f"leases lost; {totals['events']} events, {totals['files_served_and_compared']} files "
        f"compared byte for byte, {totals['forbidden_looks']} forbidden looks. "
        f"`prompts` were on their way during the fault; `slowest` is the longest from being "
        f"submitted to its end among them. The figures: [house.json](chaos/house.json)."
    )
