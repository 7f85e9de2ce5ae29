"""What the gateway counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from libs.telemetry.measures import SECONDS

REQUESTS: Final = Counter(
    "studio_gateway_requests_total", "HTTP requests by route and status.", ["route", "status"]
)
ADMISSION: Final = Histogram(
    "studio_gateway_admission_seconds",
    "Time from a submission to its answer.",
    buckets=SECONDS,
)
REFUSED: Final = Counter(
    "studio_gateway_refused_total", "Requests that were refused, by reason.", ["reason"]
)
DELIVERY: Final = Histogram(
    "studio_gateway_delivery_seconds",
    "Time from the end of a run to the frame that tells of it.",
    buckets=SECONDS,
)
WITHDRAWN: Final = Counter(
    "studio_gateway_withdrawn_total", "Submissions that were withdrawn for want of an answer."
)
ENDED: Final = Counter(
    "studio_gateway_ended_total", "Prompts whose end was shown, by outcome.", ["outcome"]
)
SOCKETS: Final = Gauge("studio_gateway_sockets", "Open WebSockets.")
OPEN_PROMPTS: Final = Gauge("studio_gateway_open_prompts", "Prompts that have no recorded end.")
