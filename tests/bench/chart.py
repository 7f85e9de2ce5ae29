"""The chart of a run: how far each figure is from its limit, and where time and memory go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

HOLDS, MISSED, SECOND, INK, FAINT = "#2a7f62", "#c0392b", "#9cc9b8", "#222222", "#8a8a8a"
# A figure far beyond its limit would flatten all others.
TIMES_MAX = 10.0


def draw(page: dict[str, Any], path: Path) -> None:
    """Draw the JSON page of a run as a PNG."""
    mpl.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK})
    rows = _limit_rows(page)
    top = 1.4 + 0.46 * len(rows)
    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.08)
    figure = Figure(figsize=(12, top + 4.4), layout=layout)
    parts = figure.subfigures(2, 1, height_ratios=(top, 4.2), hspace=0.04, squeeze=False)
    above, below = parts[:, 0]
    _limits(above.subplots(), rows)
    left, right = below.subplots(1, 2)
    _stacked(
        left,
        "CPU of one prompt without a model, by process",
        "ms",
        [(r["process"], r["user ms"], r["system ms"]) for r in _rows(page, "throughput", "cost")],
        ("in the program", "in the kernel"),
    )
    _stacked(
        right,
        "Idle memory, by process",
        "MiB",
        [
            (r["process"], r["without"], max(0.0, r["with demo"] - r["without"]))
            for r in _rows(page, "memory", "programs")
        ],
        ("before a model", "more with the demo model"),
    )
    figure.suptitle("One house on one machine, against its limits", fontsize=15, fontweight="bold")
    figure.supxlabel(
        f"{page['measured_at'][:10]} · {page['cores']} cores · Python {page['python']} · "
        f"{_machine(page)}all services up{', each in its own process' if page['split'] else ''}",
        fontsize=9,
        color=FAINT,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, facecolor="white")


@dataclass(frozen=True)
class _Row:
    """A figure and its limit: what to write, and how many times better it is."""

    label: str
    times: float
    holds: bool
    said: str


def _limit_rows(page: dict[str, Any]) -> list[_Row]:
    rows = []
    for measure in page["measures"].values():
        for name, limit in measure.get("limits", {}).items():
            value, floor = measure["figures"][name], "at_least" in limit
            bound = limit["at_least"] if floor else limit["at_most"]
            sign = "≥" if floor else "≤"
            figure = f"{_plain(name, limit['unit'])}: {_number(value)} {limit['unit']}"
            label = f"{measure['title']}\n{figure} (limit {sign} {bound:,g} {limit['unit']})"
            if bound == 0:  # Nothing may be lost, so there are no times better.
                said = "none" if limit["holds"] else f"{value:,.0f}, and none is allowed"
                rows.append(_Row(label, 1.0, limit["holds"], said))
                continue
            better = value / bound if floor else bound / max(value, 1e-9)
            more = "more than " if better > TIMES_MAX else ""
            times = min(TIMES_MAX, max(1 / TIMES_MAX, better))
            rows.append(_Row(label, times, limit["holds"], f"{more}{_number(times)} times"))
    return rows


def _number(value: float) -> str:
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def _plain(name: str, unit: str) -> str:
    words = name.replace("_", " ").removesuffix(" per second")
    return words.removesuffix(f" {unit.lower()}") if unit else words


def _limits(axes: Axes, rows: list[_Row]) -> None:
    places = range(len(rows))
    for place, row in zip(places, rows, strict=True):
        color = HOLDS if row.holds else MISSED
        line = [place, place]
        axes.plot([1, row.times], line, color=color, linewidth=7, solid_capstyle="butt")
        if row.times == 1:
            axes.plot([1], [place], "o", color=color, markersize=8)
        better = row.times >= 1
        axes.annotate(
            row.said,
            (row.times, place),
            xytext=(8 if better else -8, 0),
            textcoords="offset points",
            va="center",
            ha="left" if better else "right",
            color=color,
        )
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(list(places), [row.label for row in rows])
    axes.set_xscale("log")
    axes.set_xlim(1 / TIMES_MAX / 2, TIMES_MAX * 2.6)
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10]
    axes.set_xticks(
        ticks, ["a tenth", "a fifth", "half", "the limit", "2 times", "5 times", "10 times"]
    )
    axes.minorticks_off()
    axes.invert_yaxis()
    axes.set_title(
        "How many times better than its limit each figure is (right of the line: it holds)",
        loc="left",
        pad=10,
    )
    _clean(axes, grid="x")


def _stacked(
    axes: Axes,
    title: str,
    unit: str,
    rows: list[tuple[str, float, float]],
    legend: tuple[str, str],
) -> None:
    axes.set_title(title, loc="left", pad=10)
    if not rows:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", color=FAINT)
        axes.set_axis_off()
        return
    names = [name for name, _, _ in rows]
    first, second = [row[1] for row in rows], [row[2] for row in rows]
    axes.barh(names, first, color=HOLDS, height=0.62, label=legend[0])
    axes.barh(names, second, left=first, color=SECOND, height=0.62, label=legend[1])
    for place, total in enumerate(a + b for a, b in zip(first, second, strict=True)):
        axes.annotate(
            f"{total:,.3g}" if total < 1000 else f"{total:,.0f}",
            (total, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_xlabel(f"{unit} (together {sum(first) + sum(second):,.0f})")
    axes.margins(x=0.14)
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="lower right")
    _clean(axes, grid="x")


def _clean(axes: Axes, grid: str) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis=grid, color="#e4e4e4", linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def _rows(page: dict[str, Any], measure: str, breakdown: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = page["measures"].get(measure, {}).get(breakdown, [])
    return rows


def _machine(page: dict[str, Any]) -> str:
    peers = page["measures"].get("machine", {}).get("figures")
    if not peers:
        return ""
    return (
        f"fsync {peers['fsync_p50_ms']:.1f} ms · "
        f"JetStream alone {peers['jetstream_acks_per_second']:,.0f} acks/s · "
    )
