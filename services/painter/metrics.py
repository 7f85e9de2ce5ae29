"""What Painter counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from libs.telemetry.measures import SECONDS

REQUESTS: Final = Counter(
    "studio_painter_requests_total", "HTTP requests by route and status.", ["route", "status"]
)
REFUSED: Final = Counter(
    "studio_painter_refused_total", "Requests that were refused, by reason.", ["reason"]
)
GENERATED: Final = Counter(
    "studio_painter_generations_total", "Generations that were handed in, by kind.", ["kind"]
)
MAPS: Final = Counter(
    "studio_painter_maps_total", "Control maps that were handed in, by kind.", ["kind"]
)
STUDIO: Final = Histogram(
    "studio_painter_studio_seconds", "Time that Studio's API takes to answer.", buckets=SECONDS
)
FETCHED: Final = Counter(
    "studio_painter_fetched_total", "Pictures fetched from URLs, by what came of it.", ["outcome"]
)
STREAMS: Final = Gauge("studio_painter_streams", "Open event streams.")
