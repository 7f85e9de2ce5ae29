"""Bugs that somebody could write tomorrow, each planted where it would be written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from unittest import mock

from libs.bus.lanes import Delivery, Failure, Lanes
from libs.events.base import Event, PromptKey
from libs.events.envelope import Recorded
from libs.events.execution import ExecutionFinished
from libs.events.run import RunEnded, RunRefused
from services.billing.domain.ledger import CaptureCredits
from services.billing.handlers import Billing
from services.gateway.admission import Admission
from services.gateway.answers import Answer, Answers
from services.gpu_worker import outlet
from services.gpu_worker.domain import execution
from services.scheduler.desk import Desk
from services.scheduler.domain.story import Attempt, Story
from tests.chaos.seeded import programs
from tests.chaos.seeded.processes import Program, Reach


@contextlib.contextmanager
def attempt_check_is_skipped() -> Iterator[None]:
    """Let a worker speak whether its lease is lost or not, and let the scheduler believe it."""

    def any_with_an_end(story: Story) -> Attempt:
        over = [one for one in story.attempts.values() if one.news == "finished"]
        return over[0] if over else story.attempts.get(story.run.attempt, Attempt())

    with (
        mock.patch.object(Story, "current", property(any_with_an_end)),
        mock.patch.object(outlet, "still_held", return_value=True),
        mock.patch.object(execution, "decide", lambda command, _state: [command]),
    ):
        yield


@contextlib.contextmanager
def ack_comes_before_the_append() -> Iterator[None]:
    """Ack an event as soon as it is in hand, before its handler has written anything."""
    real = Lanes._try

    async def acked_first(lanes: Lanes, delivery: Delivery) -> Failure | None:
        await delivery.ack()
        return await real(lanes, delivery)

    with mock.patch.object(Lanes, "_try", acked_first):
        yield


@contextlib.contextmanager
def charged_on_execution() -> Iterator[None]:
    """Take the price when the worker says that it finished, whatever becomes of the run."""
    real = programs.billing

    def hasty(reach: Reach) -> Program:
        program = real(reach)
        hands: Billing = program.face

        async def on_finished(recorded: Recorded[Any]) -> None:
            prompt_id = recorded.event.prompt_id
            account = await hands._account_of(recorded.tenant, prompt_id)
            await hands._enter(recorded, account, CaptureCredits(account, prompt_id))

        reacts: Mapping[type[Event], Any] = MappingProxyType(
            {**program.service.reacts, ExecutionFinished: on_finished}
        )
        return Program(replace(program.service, reacts=reacts), hands)

    with mock.patch.object(programs, "billing", hasty):
        yield


@contextlib.contextmanager
def hold_is_forgotten() -> Iterator[None]:
    """Do nothing about the money of a prompt that was refused after its price was set aside."""

    async def forgets(_hands: Billing, _recorded: Recorded[RunRefused]) -> None:
        """Do nothing."""

    with mock.patch.object(Billing, "on_run_refused", forgets):
        yield


@contextlib.contextmanager
def cancelled_hold_is_forgotten() -> Iterator[None]:
    """Close holds of runs that succeeded, and of no others."""
    real = Billing.on_run_ended

    async def forgets(hands: Billing, recorded: Recorded[RunEnded]) -> None:
        if recorded.event.outcome == "succeeded":
            await real(hands, recorded)

    with mock.patch.object(Billing, "on_run_ended", forgets):
        yield


@contextlib.contextmanager
def second_submission_is_not_answered() -> Iterator[None]:
    """Answer only those who wait at the very moment when the answer is known."""

    async def waits_for_news(answers: Answers, key: PromptKey, seconds: float) -> Answer | None:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if answers.known(key) is None:
            answers._waiting.setdefault(key, []).append(future)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None

    async def nothing_before(*_: object) -> None:
        """Know nothing."""

    with (
        mock.patch.object(Answers, "wait", waits_for_news),
        mock.patch.object(Admission, "_answer_before", nothing_before),
    ):
        yield


@contextlib.contextmanager
def second_ask_is_not_answered() -> Iterator[None]:
    """Forget that a worker holds a lease whose answer it never heard."""
    with mock.patch.object(Desk, "_held", return_value=None):
        yield


@dataclass(frozen=True)
class Bug:
    """A bug, the invariants of which at least one must be found broken, and where to begin.

    `first_seed` only spares time: what a bug breaks seldom is looked for near where it was found.
    """

    plant: Callable[[], contextlib.AbstractContextManager[None]]
    breaks: frozenset[str]
    first_seed: int = 0


BUGS = {
    "skip the attempt check": Bug(attempt_check_is_skipped, frozenset({"I3"})),
    "ack before append": Bug(ack_comes_before_the_append, frozenset({"I1", "I2"})),
    "charge on execution": Bug(charged_on_execution, frozenset({"I2"})),
    "forget a hold of a refused prompt": Bug(hold_is_forgotten, frozenset({"I2"})),
    "forget a hold of a cancelled run": Bug(cancelled_hold_is_forgotten, frozenset({"I2"})),
    "drop a second submission's answer": Bug(
        second_submission_is_not_answered, frozenset({"answers"})
    ),
    "drop a second ask's answer": Bug(second_ask_is_not_answered, frozenset({"I1"})),
}
