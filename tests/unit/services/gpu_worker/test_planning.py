"""Before the first node: what types find wrong, what changed, what each prompt makes anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from libs.core.errors import Refused
from services.gpu_worker.accounts import EXPANDED_IDS_BYTES_MAX, bounded, refusal
from services.gpu_worker.context import Job
from services.gpu_worker.planning import JudgedWrong, prepared, said_of
from tests.semantics.nodes import TYPES

JOB = Job(
    prompt_id="p",
    attempt=1,
    document={},
    dialect="comfyui",
    outputs=("2", "4"),
    extra_pnginfo={},
    weights={},
    scope="s",
)


def job(first: int, second: int, *outputs: str) -> Job:
    document: Any = {
        "1": {"class_type": "Level", "inputs": {"level": first}},
        "2": {"class_type": "Tell", "inputs": {"text": ["1", 0]}},
        "3": {"class_type": "Level", "inputs": {"level": second}},
        "4": {"class_type": "Tell", "inputs": {"text": ["3", 0]}},
    }
    return replace(JOB, document=document, outputs=outputs or JOB.outputs)


def test_an_output_that_a_type_refuses_is_left_out_and_the_others_are_executed():
    made = prepared(job(1, 9), TYPES)
    assert made.outputs == ("2",)
    entry: Any = made.wrong["3"]
    assert said_of(entry) == "Custom validation failed for node: level - 9 is too much"
    assert prepared(job(1, 2), TYPES).wrong == {}


def test_a_graph_whose_outputs_are_all_refused_fails_at_the_node_that_is_wrong():
    with pytest.raises(JudgedWrong) as wrong:
        prepared(job(8, 9), TYPES)
    told: Any = refusal(wrong.value)
    assert (told["node_id"], told["node_type"]) == ("1", "Level")
    assert told["exception_type"] == "custom_validation_failed"
    assert "level - 8 is too much" in told["detail"]["exception_message"]
    assert told["detail"]["error"]["type"] == "prompt_outputs_failed_validation"
    assert set(told["detail"]["node_errors"]) == {"1", "3"}
    assert not told.get("retryable")


def test_a_graph_that_only_this_worker_cannot_execute_is_worth_another():
    with pytest.raises(Refused) as refused:
        prepared(replace(job(1, 2), outputs=("2", "nowhere")), TYPES)
    assert refusal(refused.value)["retryable"]


def test_outputs_are_named_anew_in_every_prompt_and_what_is_before_them_is_not():
    def named(prompt_id: str) -> Any:
        mine = replace(job(1, 2), prompt_id=prompt_id)
        return prepared(mine, TYPES).plan(mine, TYPES, str, lambda *_: {}).fingerprints

    assert named("p")["1"] == named("q")["1"]
    assert named("p")["2"] != named("q")["2"]


def test_an_output_that_always_changes_has_a_name_of_its_own_all_the_same():
    mine = replace(
        JOB,
        outputs=("2",),
        document={
            "1": {"class_type": "Weather", "inputs": {"name": "always"}},
            "2": {"class_type": "Tell", "inputs": {"text": ["1", 0]}},
        },
    )
    made = prepared(mine, TYPES).plan(mine, TYPES, str, lambda *_: {})
    assert made.fingerprints == {"2": "/p/1"}


def test_of_expanded_nodes_only_so_many_are_named_in_an_event():
    expanded = {f"1.{number}.{'x' * 1000}" for number in range(100)}
    kept = bounded(["1", *sorted(expanded), "2"], expanded)
    assert kept[0] == "1"
    assert kept[-1] == "2"
    assert sum(len(str(one)) for one in kept) <= EXPANDED_IDS_BYTES_MAX + 2
