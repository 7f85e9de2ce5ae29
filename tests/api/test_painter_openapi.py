"""Every operation of Painter's document, asked right and wrong, answers as the document says.

Making pictures is asked elsewhere: what is right there would keep the engine busy for minutes.
STUDIO_FUZZ_EXAMPLES asks for more examples of each operation.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import CHECKS

from services.painter.routes.health import OPENAPI

EXAMPLES = int(os.environ.get("STUDIO_FUZZ_EXAMPLES", "5"))
ANSWER_SECONDS_MAX = 30.0
# A body of the right form may still be impossible, and what is asked for is mostly not there.
UNASKED = ("positive_data_acceptance", "ensure_resource_availability", "use_after_free")
MAKING = "/api/generate"


def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(OPENAPI.read_text(encoding="utf-8"))
    del document["paths"][MAKING]
    return document


schema = schemathesis.openapi.from_dict(_document())
schema.config.request_timeout = ANSWER_SECONDS_MAX


@pytest.mark.covers("R252")
@pytest.mark.timeout(300)
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_it_answers_as_documented(case: Case, painter_url: str):
    is_form = case.media_type == "multipart/form-data"
    names = (*UNASKED, "negative_data_rejection") if is_form else UNASKED
    unasked: list[Any] = [CHECKS.get_one(name) for name in names]
    case.call_and_validate(base_url=painter_url, excluded_checks=unasked)
