"""The rules of a submission."""

from __future__ import annotations

import pytest

from libs.core.errors import Refused
from libs.decider import fold
from libs.events.base import Event
from libs.events.prompt import CancelRequested, HistoryRemoved, PromptSubmitted, PromptWithdrawn
from services.gateway.domain import prompt
from services.gateway.domain.prompt import Cancel, Command, Remove, Submit, Withdraw
from tests.unit.services.gateway.events import queued, submitted

SUBMITTED = submitted()
KEYED = submitted(keyed=True)


def decided(command: Command, *before: Event) -> list[Event]:
    """Return what happens to a prompt of which `before` is known."""
    return list(prompt.decide(command, fold(prompt, prompt.initial(), before)))


def test_a_new_prompt_is_submitted():
    assert decided(Submit(SUBMITTED)) == [SUBMITTED]


@pytest.mark.covers("P09")
def test_the_same_body_again_changes_nothing():
    assert decided(Submit(submitted(client_id="other")), SUBMITTED) == []


@pytest.mark.covers("P09")
def test_another_body_under_the_same_id_is_refused():
    with pytest.raises(Refused) as refused:
        decided(Submit(submitted(body_mac="other")), SUBMITTED)
    assert (refused.value.status, refused.value.kind) == (422, "prompt_id_reused")


def test_an_unanswered_prompt_without_a_key_is_withdrawn_once():
    withdrawn = PromptWithdrawn(prompt_id="p", reason="late")
    assert decided(Withdraw("p", "late"), SUBMITTED) == [withdrawn]
    assert decided(Withdraw("p", "late"), SUBMITTED, withdrawn) == []
    assert decided(Withdraw("p", "late"), KEYED) == []
    assert decided(Withdraw("p", "late")) == []


def test_a_prompt_is_cancelled_once_and_only_if_it_exists():
    cancelled = CancelRequested(prompt_id="p", by="ann")
    assert decided(Cancel("p", "ann"), SUBMITTED) == [cancelled]
    assert decided(Cancel("p", "ann"), SUBMITTED, cancelled) == []
    assert decided(Cancel("p", "ann")) == []
    assert decided(Cancel("p", "ann"), SUBMITTED, PromptWithdrawn(prompt_id="p", reason="")) == []


def test_a_prompt_is_taken_off_the_history_once():
    removed = HistoryRemoved(prompt_id="p", by="ann")
    assert decided(Remove("p", "ann"), SUBMITTED) == [removed]
    assert decided(Remove("p", "ann"), SUBMITTED, removed) == []
    assert decided(Remove("p", "ann")) == []


def test_events_of_others_change_nothing():
    before = fold(prompt, prompt.initial(), [SUBMITTED])
    assert prompt.evolve(before, queued()) == before  # type: ignore[arg-type]
    assert isinstance(SUBMITTED, PromptSubmitted)
