"""Short words for checking a prompt and reading what was wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from libs.core.jsonvalue import JsonObject
from libs.graph.check import Checked, check
from libs.graph.parse import parse
from libs.graph.refusal import GraphRefused
from tests.unit.libs.graph.sample import CATALOGUE


def checked(prompt: Any, *targets: str, **more: Any) -> Checked:
    return check(parse(prompt), CATALOGUE, targets or None, **more)


def refusal_of(prompt: Any, *targets: str, **more: Any) -> GraphRefused:
    with pytest.raises(GraphRefused) as caught:
        checked(prompt, *targets, **more)
    return caught.value


def errors_of(node_errors: JsonObject, node_id: str) -> list[Any]:
    entry: Any = node_errors[node_id]
    found: list[Any] = entry["errors"]
    return found


def only_error(prompt: Any, node_id: str, **more: Any) -> Any:
    refusal = refusal_of(prompt, **more)
    assert refusal.error["type"] == "prompt_outputs_failed_validation"
    assert list(refusal.node_errors) == [node_id]
    (error,) = errors_of(refusal.node_errors, node_id)
    return error
