"""The desk where workers ask: asks wait here until a run suits them or their time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from pydantic import ValidationError

from libs.core.errors import Refused
from libs.events.asks import LeaseAnswer, LeaseAsk
from services.scheduler.domain.board import Board
from services.scheduler.domain.matching import Match, Offer

log = structlog.get_logger(__name__)


@dataclass
class Parked:
    """An ask that waits, and where its answer goes."""

    offer: Offer
    answer: asyncio.Future[LeaseAnswer]
    since: datetime

    def say(self, answer: LeaseAnswer) -> None:
        """Answer, unless nobody waits for it any more."""
        if not self.answer.done():
            self.answer.set_result(answer)


@dataclass
class Desk:
    """The asks in hand; `changed` is called when one more waits."""

    board: Board
    now: Callable[[], datetime]
    poll_seconds: float
    changed: Callable[[], None]
    _parked: dict[str, Parked] = field(default_factory=dict)

    async def on_ask(self, data: bytes) -> bytes:
        """Answer with a lease, or with nothing for now after `poll_seconds`."""
        try:
            ask = LeaseAsk.model_validate_json(data)
        except ValidationError as error:
            raise Refused("the ask for a lease cannot be read", reason=str(error)) from error
        offer = self.board.fleet.offered(ask, self.now())
        if self.board.fleet.replaced(ask.worker_id):
            raise Refused(
                "a newer worker has this slot", kind="replaced", slot=ask.slot, worker=ask.worker_id
            )
        again = self._held(ask)
        answer = again if again is not None else await self._wait(offer)
        return answer.model_dump_json().encode()

    def next_match(self) -> tuple[Match, Parked] | None:
        """Take the next ask that gets a run off the desk."""
        match = self.board.room.match([parked.offer for parked in self._parked.values()])
        if match is None:
            return None
        return match, self._parked.pop(match.offer.worker_id)

    def dismiss(self, worker_id: str) -> None:
        """Send one worker away: it left, and a lease would be lost on it."""
        parked = self._parked.pop(worker_id, None)
        if parked is not None:
            parked.say(LeaseAnswer())

    def clear(self) -> None:
        """Send everybody away; they ask again, whoever leads then."""
        for parked in list(self._parked.values()):
            parked.say(LeaseAnswer())
        self._parked.clear()

    def _held(self, ask: LeaseAsk) -> LeaseAnswer | None:
        """Return the oldest lease that the worker holds and does not know: its answer was lost."""
        known = {(one.tenant, one.prompt_id, one.attempt) for one in ask.known}
        if not known:
            known = {("", ask.done_prompt_id, ask.done_attempt)}
        for key in self.board.holders.get(ask.worker_id, ()):
            answer = self.board.answer(key)
            tenant, prompt_id = key
            if answer.lease is None:
                continue
            # Older workers name no tenant.
            names = {(who, prompt_id, answer.lease.attempt) for who in (tenant, "")}
            if names.isdisjoint(known):
                return answer
        return None

    async def _wait(self, offer: Offer) -> LeaseAnswer:
        before = self._parked.pop(offer.worker_id, None)
        if before is not None:
            before.say(LeaseAnswer())
        parked = Parked(offer, asyncio.get_running_loop().create_future(), self.now())
        self._parked[offer.worker_id] = parked
        self.changed()
        try:
            async with asyncio.timeout(self.poll_seconds):
                return await asyncio.shield(parked.answer)
        except TimeoutError:
            if self._parked.get(offer.worker_id) is parked:
                del self._parked[offer.worker_id]
                return LeaseAnswer()
            # The run is being granted at this very moment, and the answer follows at once.
            return await parked.answer
        finally:
            if self._parked.get(offer.worker_id) is parked:
                del self._parked[offer.worker_id]
