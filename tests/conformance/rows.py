"""The requirement rows as data, and the state that the tests put each of them in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROWS_FILE = Path(__file__).with_name("requirements.json")
EXPLANATION = (
    "Each row of the HIP-35 requirement matrix, the tests that show it, and its state. "
    "Made by `make conformance`; a row counts when a test shows it. `partly`: shown without a "
    "GPU, while the row asks for a measurement on one as well."
)
State = Literal["shown", "partly", "open"]


@dataclass(frozen=True)
class Row:
    """One requirement: where it stands, what it says, how it is checked with and without a GPU."""

    id: str
    section: str
    requirement: str
    check: str
    check_gpu: str

    @property
    def wants_gpu(self) -> bool:
        """Whether a run on a CUDA device of its own is asked for."""
        return self.check_gpu.startswith("G:")


@dataclass(frozen=True)
class Shower:
    """A test that shows a row; `gpu` when it needs a CUDA device."""

    test: str
    gpu: bool


def load_rows() -> tuple[Row, ...]:
    """Return all rows in their order."""
    return tuple(Row(**row) for row in json.loads(ROWS_FILE.read_text(encoding="utf-8")))


def state_of(row: Row, showers: Sequence[Shower]) -> State:
    """Return the state: partly when only one of two demanded checks has a test."""
    if not showers:
        return "open"
    without_gpu = any(not shower.gpu for shower in showers)
    with_gpu = any(shower.gpu for shower in showers)
    return "shown" if without_gpu and (with_gpu or not row.wants_gpu) else "partly"


def report(rows: Sequence[Row], showers: Mapping[str, Sequence[Shower]]) -> str:
    """Return the page that says where each row stands."""
    states = {row.id: state_of(row, showers.get(row.id, ())) for row in rows}
    counts = {state: list(states.values()).count(state) for state in ("shown", "partly", "open")}
    lines = [
        "# Conformance",
        "",
        EXPLANATION,
        "",
        f"{len(rows)} rows: "
        + ", ".join(f"{count} {state}" for state, count in counts.items())
        + ".",
    ]
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", f"## {section}", "", "| row | requirement | state | tests |"]
            lines += ["|---|---|---|---|"]
        tests = "<br>".join(f"`{shower.test}`" for shower in showers.get(row.id, ())[:6])
        lines.append(f"| {row.id} | {_cell(row.requirement)} | {states[row.id]} | {tests} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
