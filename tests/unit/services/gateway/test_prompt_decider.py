"""The rules of a submission."""

from __future__ import annotations

import pytest

from libs.core.errors import Refused
from libs.events.prompt import CancelRequested, HistoryRemoved, PromptWithdrawn
from services.gateway.domain import prompt
from services.gateway.domain.prompt import Cancel, Remove, Submit, Withdraw
from tests.unit.given import given
from tests.unit.services.gateway.events import queued, submitted

SUBMITTED = submitted()
KEYED = submitted(keyed=True)
WITHDRAWN = PromptWithdrawn(prompt_id="p", reason="late")
CANCELLED = CancelRequested(prompt_id="p", by="ann")
REMOVED = HistoryRemoved(prompt_id="p", by="ann")


def test_a_new_prompt_is_submitted():
    given(prompt).when(Submit(SUBMITTED)).then(SUBMITTED)


@pytest.mark.covers("P09")
def test_the_same_body_again_changes_nothing():
    given(prompt, SUBMITTED).when(Submit(submitted(client_id="other"))).then()


@pytest.mark.covers("P09")
def test_another_body_under_the_same_id_is_refused():
    other = Submit(submitted(body_mac="other"))
    given(prompt, SUBMITTED).when(other).refused(Refused, "already used")


def test_an_unanswered_prompt_without_a_key_is_withdrawn_once():
    late = Withdraw("p", "late")
    given(prompt, SUBMITTED).when(late).then(WITHDRAWN).when(late).then()


def test_an_unanswered_prompt_with_a_key_is_kept():
    given(prompt, KEYED).when(Withdraw("p", "late")).then()


def test_a_prompt_is_cancelled_once():
    cancel = Cancel("p", "ann")
    given(prompt, SUBMITTED).when(cancel).then(CANCELLED).when(cancel).then()


def test_a_withdrawn_prompt_is_not_cancelled_as_well():
    given(prompt, SUBMITTED, WITHDRAWN).when(Cancel("p", "ann")).then()


def test_a_prompt_is_taken_off_the_history_once():
    remove = Remove("p", "ann")
    given(prompt, SUBMITTED).when(remove).then(REMOVED).when(remove).then()


@pytest.mark.parametrize("command", [Withdraw("p", ""), Cancel("p", ""), Remove("p", "")])
def test_nothing_happens_to_a_prompt_that_does_not_exist(command: object):
    given(prompt).when(command).then()


def test_events_of_others_change_nothing():
    assert given(prompt, SUBMITTED, queued()).state == given(prompt, SUBMITTED).state
