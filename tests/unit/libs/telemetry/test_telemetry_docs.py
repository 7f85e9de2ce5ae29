"""Every metric is named by Prometheus' customs, has few labels, and stands on the page."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

ROOT = Path(__file__).resolve().parents[4]
PAGE = ROOT / "docs" / "telemetry.md"
MODULES = [
    "libs.telemetry.measures",
    *(
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
        for path in sorted((ROOT / "services").glob("*/metrics.py"))
    ),
]
# Closed sets, all of them: a tenant, a prompt or a path as a label would grow without bound.
LABELS = {
    "service", "event", "outcome", "failure", "reason", "kind", "stream", "tier", "cause",
    "route", "status",
}  # fmt: skip
UNITS = ("_seconds", "_events", "_bytes", "_total")
NAME = re.compile(r"studio_[a-z]+(_[a-z]+)*")


def _metrics() -> dict[str, MetricWrapperBase]:
    found = {}
    for module in MODULES:
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, MetricWrapperBase):
                suffix = "_total" if isinstance(value, Counter) else ""
                found[value._name + suffix] = value
    return found


METRICS = _metrics()


def test_every_metric_is_on_the_page_and_the_page_has_no_other():
    rows = re.findall(r"^\| `(studio_\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(METRICS)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_is_named_by_the_customs(name):
    metric = METRICS[name]
    assert NAME.fullmatch(name)
    assert metric._documentation.endswith(".")
    assert set(metric._labelnames) <= LABELS
    if isinstance(metric, Histogram):
        assert name.endswith(UNITS)
    if isinstance(metric, Gauge):
        assert not name.endswith("_total")
