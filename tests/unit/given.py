"""Tests of deciders read as sentences: given these events, when this command, then those events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from libs.core.errors import StudioError
from libs.decider import Decider, fold
from libs.events.base import Event


def given(decider: Decider[Any, Any], *events: Event) -> Given:
    """Begin with what has happened; `decider` is the domain module itself."""
    return Given(decider, events)


@dataclass(frozen=True)
class Given:
    """What has happened so far."""

    decider: Decider[Any, Any]
    events: tuple[Event, ...]

    @property
    def state(self) -> Any:
        """Return the state after what has happened."""
        return fold(self.decider, self.decider.initial(), self.events)

    def when(self, command: Any) -> When:
        """Go on with a command."""
        return When(self, command)


@dataclass(frozen=True)
class When:
    """A command that meets what has happened."""

    given: Given
    command: Any

    def then(self, *expected: Event) -> Given:
        """Expect exactly these events, and go on from them; none for a command of old news."""
        decided = tuple(self.given.decider.decide(self.command, self.given.state))
        assert decided == expected
        return Given(self.given.decider, self.given.events + decided)

    def refused(self, error: type[StudioError], *words: str) -> None:
        """Expect an error of that class whose text holds all `words`."""
        with pytest.raises(error) as raised:
            self.given.decider.decide(self.command, self.given.state)
        for word in words:
            assert word in str(raised.value)
