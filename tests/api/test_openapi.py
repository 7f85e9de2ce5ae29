"""Every operation of the OpenAPI document, asked right and wrong, answers as the document says.

STUDIO_FUZZ_EXAMPLES asks for more examples of each operation.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import CHECKS

from services.gateway.gateway import Gateway
from services.gateway.main import build_app

EXAMPLES = int(os.environ.get("STUDIO_FUZZ_EXAMPLES", "10"))
# Whoever waits longer than this for one answer has been left hanging.
ANSWER_SECONDS_MAX = 30.0
# A body of the right form may still be no workflow, and files that are asked for are not there.
UNASKED = ("positive_data_acceptance", "ensure_resource_availability", "use_after_free")

DOCUMENT = build_app(cast("Gateway", SimpleNamespace(editor=None))).openapi()


def without_places(value: Any) -> Any:
    """Take out what an array holds at each place; schemathesis cannot read that in answers."""
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if isinstance(value, dict):
        return {name: without_places(item) for name, item in value.items() if name != "prefixItems"}
    return value


schema = schemathesis.openapi.from_dict(without_places(DOCUMENT))
schema.config.request_timeout = ANSWER_SECONDS_MAX


@pytest.mark.covers("P10")
@pytest.mark.timeout(600)
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_it_answers_as_documented(case: Case, api_url: str):
    # A form has texts only, so that a number in the place of a text is none.
    is_form = case.media_type == "multipart/form-data"
    names = (*UNASKED, "negative_data_rejection") if is_form else UNASKED
    unasked: list[Any] = [CHECKS.get_one(name) for name in names]
    case.call_and_validate(base_url=api_url, excluded_checks=unasked)
