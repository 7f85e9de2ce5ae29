"""What every service counts at the bus: deliveries, reactions, appends, dead letters."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# For what waits for people's turns and for pictures: up to an hour.
WAIT_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

DELIVERIES: Final = Counter(
    "studio_deliveries_total",
    "Deliveries that a service settled: done, or set aside as dead letters.",
    ["service", "outcome"],
)
RETRIES: Final = Counter(
    "studio_delivery_retries_total",
    "Tries of a delivery that did not succeed: unavailable, failed, or poisoned.",
    ["service", "failure"],
)
REDELIVERIES: Final = Counter(
    "studio_redeliveries_total",
    "Deliveries that came again after a process died or gave them back.",
    ["service"],
)
REACTION: Final = Histogram(
    "studio_reaction_seconds",
    "Time that a service took to react to an event.",
    ["service", "event"],
    buckets=SECONDS,
)
DEAD_LETTERS: Final = Counter(
    "studio_dead_letters_total", "Events given up, by who gave up and why.", ["service", "reason"]
)
APPEND: Final = Histogram(
    "studio_journal_append_seconds",
    "Time from an append to JetStream's answer.",
    ["kind"],
    buckets=SECONDS,
)
CONFLICTS: Final = Counter(
    "studio_journal_conflicts_total",
    "Appends that lost a race: the subject had moved.",
    ["kind"],
)
WRITE_RETRIES: Final = Counter(
    "studio_write_retries_total",
    "Writes sent again because JetStream's answer was missing or unfavourable.",
    ["stream"],
)
