"""Milliseconds that the validator takes for workflows of 500 nodes, and their plans."""

from __future__ import annotations

import gc
import json
import statistics
import time

from libs.graph.limits import WORKFLOW_BYTES_MAX
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.graph.tiers import OWNER
from libs.nodes.registry import schemas
from services.commands.serving import COLLECT_AFTER
from services.validator.domain.verdict import Accepted, RefusedPrompt, verdict
from tests.bench.figures import Breakdown, Taken
from tests.bench.ground import Ground
from tests.bench.shapes import CHECKPOINT, SHAPES, Workflow

ROUNDS = 30
REFUSED = {"wrong", "cycle"}
MS = 1000.0


def measure(ground: Ground) -> Taken:
    """Judge each shape many times; the slowest shape's median is held to the limit."""
    # As in the process of a service: what lives as long as it does is not searched for garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    catalogue = Catalogue(schemas(), {"checkpoints": (CHECKPOINT,)})
    rows: list[tuple[str, float, float, float]] = []
    with ground.bar("validator", len(SHAPES)) as step:
        for name, shape in SHAPES.items():
            rows.append((name, *_timed(name, shape(), catalogue)))
            step()
    slowest = max(rows, key=lambda row: row[1])
    return Taken(
        {
            "slowest_p50_ms": slowest[1],
            "slowest_max_ms": slowest[2],
            "chain_p50_ms": rows[0][1],
            "slowest_plan_p50_ms": max(row[3] for row in rows),
        },
        {
            "shapes": Breakdown(
                "Verdict on 500 nodes", ("shape", "p50 ms", "max ms", "plan ms"), rows
            )
        },
    )


def _timed(name: str, workflow: Workflow, catalogue: Catalogue) -> tuple[float, float, float]:
    body = json.dumps(workflow)
    if len(body) > WORKFLOW_BYTES_MAX:
        raise AssertionError(f"{name} would not be let in: {len(body)} bytes")
    judged, planned = [], []
    for _ in range(ROUNDS):
        prompt = json.loads(body)
        began = time.perf_counter()
        reached = verdict(prompt, catalogue, OWNER, known_files=(), weight_sizes={})
        judged.append((time.perf_counter() - began) * MS)
        _require_as_meant(name, reached)
        began = time.perf_counter()
        if isinstance(reached, Accepted):
            plan(reached.graph, catalogue, reached.outputs)
        planned.append((time.perf_counter() - began) * MS)
    medians = statistics.median(judged), max(judged), statistics.median(planned)
    return round(medians[0], 2), round(medians[1], 2), round(medians[2], 2)


def _require_as_meant(name: str, reached: Accepted | RefusedPrompt) -> None:
    refused = isinstance(reached, RefusedPrompt)
    if refused is not (name in REFUSED):
        raise AssertionError(f"{name} was judged wrongly: {reached}")
