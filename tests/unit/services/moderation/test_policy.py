"""What moderation says, once, about the text and about each output."""

from __future__ import annotations

import pytest

from libs.events.moderation import OutputBlocked, OutputReleased, PromptBlocked, PromptCleared
from services.moderation.domain import policy
from services.moderation.domain.policy import JudgeOutput, JudgeText
from tests.unit.given import given


def judge(**changes: object) -> JudgeOutput:
    facts: dict = {
        "prompt_id": "p",
        "attempt": 1,
        "node_id": "9",
        "index": 0,
        "artifact": "outputs/t/u/p/1/3-0",
        "sha256": "ab",
        "seen": True,
        "scores": {"nudity": 0.1},
        "thresholds": {"nudity": 0.85},
        "classifier": "test-1",
    }
    return JudgeOutput(**(facts | changes))


def released(**changes: object) -> OutputReleased:
    facts: dict = {
        "prompt_id": "p",
        "attempt": 1,
        "node_id": "9",
        "index": 0,
        "artifact": "outputs/t/u/p/1/3-0",
        "sha256": "ab",
        "scores": {"nudity": 0.1},
        "classifier": "test-1",
    }
    return OutputReleased(**(facts | changes))


def blocked(category: str, **changes: object) -> OutputBlocked:
    facts: dict = {
        "prompt_id": "p",
        "attempt": 1,
        "node_id": "9",
        "index": 0,
        "category": category,
        "scores": {},
        "classifier": "test-1",
    }
    return OutputBlocked(**(facts | changes))


def test_clean_words_are_cleared_once():
    cleared = PromptCleared(prompt_id="p", policy="v1")
    command = JudgeText(prompt_id="p", category=None, policy="v1")
    given(policy).when(command).then(cleared).when(command).then()


def test_words_on_the_list_block_and_only_the_category_is_kept():
    command = JudgeText(prompt_id="p", category="hate", policy="v1")
    given(policy).when(command).then(PromptBlocked(prompt_id="p", category="hate", policy="v1"))


def test_a_picture_below_the_threshold_is_released_once():
    given(policy).when(judge()).then(released()).when(judge()).then()


@pytest.mark.covers("R343")
def test_a_picture_at_the_threshold_is_blocked():
    given(policy).when(judge(scores={"nudity": 0.85})).then(
        blocked("nudity", scores={"nudity": 0.85})
    )


def test_a_picture_that_could_not_be_judged_is_blocked():
    given(policy).when(judge(scores={})).then(blocked("unjudged"))


def test_a_file_that_is_no_picture_is_released():
    given(policy).when(judge(scores={}, seen=False, classifier="")).then(
        released(scores={}, classifier="")
    )


def test_another_attempt_is_judged_anew():
    given(policy, released()).when(judge(attempt=2)).then(released(attempt=2))
