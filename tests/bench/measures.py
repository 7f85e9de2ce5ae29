"""All that is measured, in the order in which it is measured, and the limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from tests.bench import (
    demo,
    editor,
    fanout,
    gathering,
    lists,
    machine,
    memory,
    start,
    submit,
    throughput,
    validator,
)
from tests.bench.figures import Limit, Taken
from tests.bench.ground import Ground


@dataclass(frozen=True)
class Measure:
    """One thing that is measured, and the limits of its figures."""

    title: str
    take: Callable[[Ground], Taken]
    limits: Mapping[str, Limit] = field(default_factory=dict)


def _by_itself(module: str) -> Callable[[Ground], Taken]:
    """Return a measure that runs servers of its own in a folder of its own."""

    def take(ground: Ground) -> Taken:
        ground.forget_house()
        folder = ground.folder / module
        folder.mkdir()
        with ground.bar(module, None):
            return Taken(import_module(f"tests.bench.{module}").measure(folder))

    return take


ENGINE = {
    "engine_over_bare": Limit(1.02, "times"),
    "memory_over_weights": Limit(1.1, "times"),
}
EVENTS = {"events_per_second": Limit(5000, "/s", floor=True)}

MEASURES: dict[str, Measure] = {
    "machine": Measure("This machine, for comparison", machine.measure),
    "start": Measure("From `studio up` to ready", start.measure),
    "memory": Measure(
        "Idle memory of the whole house",
        memory.measure,
        {
            "without_model_mib": Limit(1024, "MiB"),
            "with_demo_model_mib": Limit(2048, "MiB"),
        },
    ),
    "validator": Measure(
        "Verdict on 500 nodes", validator.measure, {"slowest_p50_ms": Limit(50, "ms")}
    ),
    "submit": Measure(
        "Submission to 200, at 20/s",
        submit.measure,
        {"p50_ms": Limit(40, "ms"), "p95_ms": Limit(100, "ms"), "refused": Limit(0, "prompts")},
    ),
    "throughput": Measure(
        "Prompts end to end, without a model",
        throughput.measure,
        {"prompts_per_second": Limit(25, "/s", floor=True)},
    ),
    "fanout": Measure(
        "500 WebSocket clients",
        fanout.measure,
        {
            "lost_or_wrong": Limit(0, "prompts"),
            "not_resumed": Limit(0, "clients"),
            "dropped_clients": Limit(0, "clients"),
            "refused": Limit(0, "prompts"),
        },
    ),
    "crowd": Measure(
        "Two browsers and 200 WebSocket clients",
        gathering.measure,
        {
            "frames_of_others": Limit(0, "frames"),
            "runs_told_wrong": Limit(0, "runs"),
            "page_errors": Limit(0, "errors"),
            "lost_or_wrong": Limit(0, "prompts"),
            "not_resumed": Limit(0, "clients"),
            "dropped_clients": Limit(0, "clients"),
            "refused": Limit(0, "prompts"),
        },
    ),
    "editor": Measure(
        "From the address to an editor that can be used",
        editor.measure,
        {"usable_max_seconds": Limit(8, "s"), "painter_max_seconds": Limit(1, "s")},
    ),
    "lists": Measure(
        "Lists behind 10,000 finished prompts",
        lists.measure,
        {"slowest_p95_ms": Limit(100, "ms")},
    ),
    "demo": Measure("The demo picture", demo.measure),
    "engine": Measure("The engine beside its bare networks", _by_itself("engine"), ENGINE),
    "profiles": Measure(
        "The fast profile beside the exact one",
        _by_itself("profiles"),
        {"dpmpp_2m_psnr_db": Limit(36, "dB", floor=True)},
    ),
    "beside": Measure(
        "Four fast runs beside each other, over one by one",
        _by_itself("beside"),
        {
            "times_as_fast": Limit(1.2, "times", floor=True),
            "largest_difference": Limit(0.001, "in latents"),
        },
    ),
    "recorder": Measure("The recorder, catching up", _by_itself("recorder"), EVENTS),
    "load": Measure(
        "Checkpoints into memory, cold",
        _by_itself("loading"),
        {"of_plain_2gb": Limit(0.8, "of a plain read", floor=True)},
    ),
    "rebuild": Measure("`studio audit rebuild`", _by_itself("rebuild"), EVENTS),
}
