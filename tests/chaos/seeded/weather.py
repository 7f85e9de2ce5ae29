"""What a seed decides: how often each thing goes wrong, and how long everything takes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

INTENSITIES = (0.0, 0.5, 1.0, 2.0)


@dataclass
class Weather:
    """Rates of faults, drawn once per seed; `calm` ends them all."""

    dice: Random
    latency_seconds: float
    handling_seconds: float
    lag_seconds: float
    crash_rate: float
    unknown_rate: float
    lost_rate: float
    late_rate: float
    ack_lost_rate: float
    doubled_rate: float
    signal_lost_rate: float
    ask_lost_rate: float
    engine_rate: float
    over: bool = False

    @classmethod
    def of(cls, dice: Random) -> Weather:
        """Draw the weather of a story."""

        def rate(usual: float) -> float:
            return usual * dice.choice(INTENSITIES)

        return cls(
            dice=dice,
            latency_seconds=dice.choice((0.001, 0.01, 0.1)),
            handling_seconds=dice.choice((0.01, 0.2, 1.0)),
            lag_seconds=dice.choice((0.0, 0.05, 1.0)),
            crash_rate=rate(0.01),
            unknown_rate=rate(0.02),
            lost_rate=rate(0.02),
            late_rate=rate(0.01),
            ack_lost_rate=rate(0.08),
            doubled_rate=rate(0.08),
            signal_lost_rate=rate(0.2),
            ask_lost_rate=rate(0.05),
            engine_rate=rate(0.06),
        )

    @property
    def latency(self) -> float:
        """Return how long the next message takes on its way."""
        return self.dice.uniform(0, self.latency_seconds)

    @property
    def handling(self) -> float:
        """Return how long an event lies about before its handler begins."""
        return self.dice.uniform(0, self.handling_seconds)

    @property
    def lag(self) -> float:
        """Return how long a feed is behind."""
        return self.dice.uniform(0, self.lag_seconds)

    def happens(self, rate: float) -> bool:
        """Throw the dice for a fault."""
        return not self.over and self.dice.random() < rate

    def one_of(self, **rates: float) -> str:
        """Return the name of the fault that happens, or an empty string."""
        if self.over:
            return ""
        thrown = self.dice.random()
        for name, rate in rates.items():
            if thrown < rate:
                return name
            thrown -= rate
        return ""

    def calm(self) -> None:
        """Let nothing go wrong from here on."""
        self.over = True
        self.latency_seconds = self.handling_seconds = 0.005
        self.lag_seconds = 0.0
