"""A stretch of time in which the CPU of a house, of its client and of strangers is counted."""

from __future__ import annotations

import os

from tests.bench.figures import Breakdown, Figures
from tests.bench.processes import Spent, machine_busy_seconds, spent_by
from tests.e2e.houses import House


class Window:
    """Opens when it is made; `close` says what was used inside it."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._before = spent_by(house)
        self._busy_before = machine_busy_seconds()

    def close(
        self, prompts: int, seconds: float, client_cpu_seconds: float
    ) -> tuple[Figures, Breakdown]:
        """Return the shares of the machine, and per process what one prompt cost."""
        busy = machine_busy_seconds() - self._busy_before
        spent = {
            name: used - self._before.get(name, Spent())
            for name, used in spent_by(self._house).items()
        }
        house = sum(used.cpu for used in spent.values())
        machine = seconds * (os.cpu_count() or 1)
        figures = {
            "cpu_ms_per_prompt": house * 1000 / prompts,
            "house_cpu_percent": 100 * house / machine,
            "client_cpu_percent": 100 * client_cpu_seconds / machine,
            "strangers_cpu_percent": 100 * max(0.0, busy - house - client_cpu_seconds) / machine,
        }
        rows = [
            (
                name,
                round(used.cpu * 1000 / prompts, 2),
                round(used.user * 1000 / prompts, 2),
                round(used.system * 1000 / prompts, 2),
                round(100 * used.cpu / machine, 1),
                round(used.written_kib / prompts, 1),
            )
            for name, used in sorted(spent.items(), key=lambda item: -item[1].cpu)
        ]
        columns = ("process", "CPU ms", "user ms", "system ms", "% of machine", "KiB written")
        return figures, Breakdown("What one prompt costs each process", columns, rows)
