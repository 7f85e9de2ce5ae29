"""The workers as the scheduler knows them: who lives, what each has, whose lease is void."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from libs.events.asks import LeaseAsk
from libs.events.base import Event
from libs.events.worker import WorkerRegistered, WorkerStopped
from services.scheduler.domain.matching import Offer

STOPPED_MAX: Final = 1000


@dataclass
class Fleet:
    """What this process heard of the workers; `since` is when it began to judge their silence."""

    silence_seconds: float
    since: datetime
    _heard: dict[str, datetime] = field(default_factory=dict)
    _offers: dict[str, Offer] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    _stopped: dict[str, None] = field(default_factory=dict)

    def judge_from(self, now: datetime) -> None:
        """Begin to judge: every worker gets one full period before its silence counts."""
        self.since = now

    def evolve(self, event: Event) -> str:
        """Take in an event about a worker; return the slot whose leases may be void now."""
        match event:
            case WorkerRegistered():
                self._owners[event.slot] = event.worker_id
                return event.slot
            case WorkerStopped():
                self._stopped[event.worker_id] = None
                while len(self._stopped) > STOPPED_MAX:
                    del self._stopped[next(iter(self._stopped))]
                self.forget(event.worker_id)
                return event.slot
        return ""

    def hear(self, worker_id: str, now: datetime) -> None:
        """Note that the worker lives."""
        self._heard[worker_id] = now

    def offered(self, ask: LeaseAsk, now: datetime) -> Offer:
        """Note what the worker has, and that it lives."""
        self.hear(ask.worker_id, now)
        self._offers[ask.worker_id] = offer = Offer.of(ask)
        return offer

    def forget(self, worker_id: str) -> None:
        """Forget what the worker had."""
        self._heard.pop(worker_id, None)
        self._offers.pop(worker_id, None)

    def lost(self, worker_id: str, leased_at: datetime | None, now: datetime) -> str:
        """Say why a lease of the worker is void, or return an empty string."""
        if worker_id in self._stopped:
            return "the worker stopped"
        if self.replaced(worker_id):
            return "the worker was replaced by a newer one"
        heard = max(self._heard.get(worker_id, self.since), self.since, leased_at or self.since)
        if now - heard >= timedelta(seconds=self.silence_seconds):
            return f"the worker was silent for {self.silence_seconds:g} seconds"
        return ""

    def replaced(self, worker_id: str) -> bool:
        """Say whether a newer process registered on the slot; worker ids are `<slot>-<suffix>`."""
        owner = self._owners.get(worker_id.rpartition("-")[0])
        return owner is not None and owner != worker_id

    def known_offers(self, now: datetime) -> list[Offer] | None:
        """Return what all living workers have; None while one of them has not said it."""
        alive = [
            worker_id
            for worker_id, heard in self._heard.items()
            if now - heard < timedelta(seconds=self.silence_seconds)
            and not self.replaced(worker_id)
        ]
        if any(worker_id not in self._offers for worker_id in alive):
            return None
        return [self._offers[worker_id] for worker_id in alive]

    def sweep(self, now: datetime) -> None:
        """Forget workers that have been silent for long."""
        old = timedelta(seconds=10 * self.silence_seconds)
        for worker_id in [name for name, heard in self._heard.items() if now - heard > old]:
            self.forget(worker_id)
