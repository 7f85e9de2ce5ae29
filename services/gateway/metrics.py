"""What the gateway counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

REQUESTS: Final = Counter(
    "studio_gateway_requests_total", "HTTP requests by route and status.", ["route", "status"]
)
ADMISSION: Final = Histogram(
    "studio_gateway_admission_seconds",
    "Time from a submission to its answer.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WITHDRAWN: Final = Counter(
    "studio_gateway_withdrawn_total", "Submissions that were withdrawn for want of an answer."
)
ENDED: Final = Counter(
    "studio_gateway_ended_total", "Prompts whose end was shown, by outcome.", ["outcome"]
)
SOCKETS: Final = Gauge("studio_gateway_sockets", "Open WebSockets.")
OPEN_PROMPTS: Final = Gauge("studio_gateway_open_prompts", "Prompts that have no recorded end.")
