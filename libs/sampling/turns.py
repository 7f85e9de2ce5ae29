"""Runs side by side in one process: one computes at a time, and networks are asked for many at once.

A run computes only while it has the turn, so nothing that runs share is touched by two threads. It
lets go of the turn where a network is asked. When no other run has anything else to compute, the
question that waits longest is answered, together with all that ask the same network for the same
shapes: nobody waits by the clock for company that may not come.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from libs.sampling.control import Call
from libs.sampling.joining import joined, rows_of, split
from libs.sampling.levels import Array

# How long a question lets others compute before it; runs that only begin may come without end.
PATIENCE_SECONDS: Final = 0.5
# How often one that waits looks whether its run was stopped.
LOOK_SECONDS: Final = 0.1
ROWS_MAX: Final = 16


def never() -> None:
    """Find that a run goes on."""


@dataclass
class Share:
    """One run beside others: what stops it, and how often it was computed with another."""

    check: Callable[[], None] = never
    asked: int = 0
    together: int = 0
    runs_most: int = 1

    def told(self) -> str:
        """Return how the run's networks were asked, as a fingerprint says it."""
        if not self.together:
            return "alone"
        return f"up to {self.runs_most} runs in {self.together} of {self.asked} evaluations"


@dataclass(eq=False)
class Question:
    """What one run asks of a network; equal keys can be answered at once."""

    key: Hashable
    call: Call
    answer: Callable[[Call], Array]
    share: Share
    since: float = field(default_factory=time.monotonic)
    taken: bool = False
    output: Array | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        """Say whether there is an answer, or why there is none."""
        return self.output is not None or self.error is not None


class Turns:
    """Who may compute; at most `runs_max` runs at once, and `rows_max` latents in one evaluation."""

    def __init__(self, runs_max: int, rows_max: int = ROWS_MAX) -> None:
        self.runs_max = runs_max
        self.rows_max = rows_max
        self._changed = threading.Condition()
        self._holder: int | None = None
        self._waiting: deque[object] = deque()
        self._questions: list[Question] = []
        # Async nodes of a run go on in another thread, with the context of the run.
        self._share: ContextVar[Share | None] = ContextVar("share", default=None)
        self._answered_at = 0.0

    @contextmanager
    def joined(self, check: Callable[[], None] = never) -> Iterator[Share]:
        """Let the run of this context compute beside others; `check` raises when it is stopped."""
        share = Share(check)
        token = self._share.set(share)
        try:
            yield share
        finally:
            self._share.reset(token)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn; whoever joined nothing has the process to itself."""
        share = self._share.get()
        if share is None or self._mine:
            yield
            return
        self._take(share)
        try:
            yield
        finally:
            self._let_go()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let others compute while this run waits for something else than a network."""
        share = self._share.get()
        if share is None or not self._mine:
            yield
            return
        self._let_go()
        try:
            yield
        finally:
            self._take(share, heeds_stops=False)

    def evaluate(self, key: Hashable, call: Call, answer: Callable[[Call], Array]) -> Array:
        """Return what `answer` says to the call, perhaps asked together with calls of other runs.

        Runs whose `key` is equal ask the same network, and their calls differ in numbers alone.
        None is for a call that cannot be joined with any other.
        """
        share = self._share.get()
        if share is None:
            return answer(call)
        question = Question(object() if key is None else key, call, answer, share)
        # A thread that a node of the run began for itself has not got the turn yet.
        with self.taken():
            self._ask(question)
        if question.error is not None:
            raise question.error
        return question.output

    @property
    def _mine(self) -> bool:
        return self._holder == threading.get_ident()

    def _take(self, share: Share, *, heeds_stops: bool = True) -> None:
        """Wait for the turn, in the order of coming."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while not self._is_next(ticket):
                    self._changed.wait(LOOK_SECONDS)
                    if heeds_stops:
                        share.check()
                self._holder = threading.get_ident()
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _is_next(self, ticket: object) -> bool:
        return self._holder is None and self._waiting[0] is ticket and not self._is_impatient

    def _let_go(self) -> None:
        with self._changed:
            if self._mine:
                self._holder = None
            self._changed.notify_all()

    @property
    def _is_impatient(self) -> bool:
        """Say whether a question has let enough others compute before it, after the last one."""
        if not self._questions:
            return False
        since = max(self._questions[0].since, self._answered_at)
        return time.monotonic() - since > PATIENCE_SECONDS

    def _ask(self, question: Question) -> None:
        """Wait until the question is answered, or answer it with all that can be answered at once."""
        with self._changed:
            self._questions.append(question)
            self._holder = None
            self._changed.notify_all()
            try:
                while not (question.done or self._may_answer(question)):
                    self._changed.wait(LOOK_SECONDS)
                    question.share.check()
            except BaseException:
                if not question.taken:
                    self._questions.remove(question)
                    self._changed.notify_all()
                raise
            if not question.done:
                company = self._company(question)
                self._holder = threading.get_ident()
        if self._mine:
            self._answer(company)
        else:
            self._take(question.share)

    def _may_answer(self, question: Question) -> bool:
        if self._holder is not None or question.taken or self._questions[0] is not question:
            return False
        return not self._waiting or self._is_impatient

    def _company(self, first: Question) -> list[Question]:
        """Take the first question and those that can be answered with it."""
        company, rows = [first], rows_of(first.call)
        for other in self._questions[1:]:
            more = rows_of(other.call)
            if other.key == first.key and rows + more <= self.rows_max:
                company.append(other)
                rows += more
        for question in company:
            question.taken = True
            self._questions.remove(question)
        return company

    def _answer(self, company: Sequence[Question]) -> None:
        """Answer questions at once; where that fails, each for itself."""
        try:
            if not (len(company) > 1 and _answered_together(company)):
                for question in company:
                    _answer_alone(question)
        finally:
            with self._changed:
                self._answered_at = time.monotonic()
                self._changed.notify_all()


def _answered_together(company: Sequence[Question]) -> bool:
    """Say whether all were answered in one evaluation; its failure is perhaps that of one alone."""
    calls = [question.call for question in company]
    try:
        outputs = split(company[0].answer(joined(calls)), calls)
    except Exception:
        return False
    for question, output in zip(company, outputs, strict=True):
        question.share.asked += 1
        question.share.together += 1
        question.share.runs_most = max(question.share.runs_most, len(company))
        question.output = output
    return True


def _answer_alone(question: Question) -> None:
    question.share.asked += 1
    try:
        question.output = question.answer(question.call)
    except Exception as error:
        question.error = error
