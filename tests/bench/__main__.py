"""`make bench`: start a house, measure it, write docs/bench/house.json.

Limits are HIP-35's own where it names one (R384: 100 ms from submission to acknowledgement).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.e2e.houses import ROOT, House, house
from tests.e2e.watching import Watcher, submit, tiny_graph

PAGE = ROOT / "docs" / "bench" / "house.json"
SUBMITS = 200
SUBMITS_PER_SECOND = 20
BURST = 150
ACK_MS_LIMIT = 100.0


def submit_latency(target: House) -> dict[str, float]:
    """Submit at a steady rate; milliseconds from the request to its 200."""
    taken = []
    with target.client() as api:
        for number in track(range(SUBMITS), "submit latency", transient=True):
            began = time.perf_counter()
            submit(api, tiny_graph(number))
            taken.append((time.perf_counter() - began) * 1000)
            time.sleep(max(0.0, 1 / SUBMITS_PER_SECOND - (time.perf_counter() - began)))
    cuts = statistics.quantiles(taken, n=20)
    return {"p50_ms": statistics.median(taken), "p95_ms": cuts[18], "max_ms": max(taken)}


def throughput(target: House) -> dict[str, float]:
    """Submit a burst without a model and wait for the last end; prompts a second."""
    with target.client() as api, Watcher(target) as watcher:
        began = time.perf_counter()
        waiting = {submit(api, tiny_graph(n), watcher.client_id) for n in range(BURST)}
        while waiting:
            frame = watcher.read()
            if frame["type"] == "executing" and frame["data"].get("node") is None:
                waiting.discard(frame["data"]["prompt_id"])
        return {"prompts": BURST, "prompts_per_second": BURST / (time.perf_counter() - began)}


def demo_picture(target: House) -> dict[str, float]:
    """Make the demo picture twice; seconds cold and warm."""
    graph: dict[str, Any] = json.loads(
        (ROOT / "libs/weights/demo/graph.json").read_text(encoding="utf-8")
    )
    seconds = []
    with target.client() as api, Watcher(target) as watcher:
        for seed in (1, 2):
            graph["sampler"]["inputs"]["seed"] = seed
            began = time.perf_counter()
            watcher.until_end(submit(api, graph, watcher.client_id))
            seconds.append(time.perf_counter() - began)
    return {"cold_seconds": seconds[0], "warm_seconds": seconds[1]}


def memory(target: House) -> dict[str, float]:
    """Resident memory of the whole house, in MiB."""
    total = 0
    for pid in [target.process.pid, *target.descendants()]:
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, ValueError):
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return {"resident_mib": total / 2**20}


MEASURES: dict[str, Callable[[House], dict[str, float]]] = {
    "demo_picture": demo_picture,
    "submit_latency": submit_latency,
    "throughput_without_a_model": throughput,
    "memory_with_demo_model": memory,
}


def main() -> int:
    """Measure, print a table, keep the numbers; fail when a limit is broken."""
    figures: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(terse=True)}
    }
    with tempfile.TemporaryDirectory() as folder, house(Path(folder) / "home") as target:
        figures["start"] = {"ready_seconds": target.told["ready_seconds"]}
        for name, measure in MEASURES.items():
            figures[name] = {key: round(value, 2) for key, value in measure(target).items()}
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    table = Table("measure", "figure", "value", box=None)
    for name, values in figures.items():
        for key, value in values.items():
            table.add_row(name, key, str(value))
    Console().print(table)
    return 0 if figures["submit_latency"]["p95_ms"] <= ACK_MS_LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
