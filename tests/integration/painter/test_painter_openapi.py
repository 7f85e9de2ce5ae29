"""Every operation of Painter's document, asked right and wrong, answers as the document says.

The house is in this process and accepts without painting, so that making pictures is asked too.
STUDIO_FUZZ_EXAMPLES asks for more examples of each operation.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import CHECKS

from libs.store.engine import make_engine, migrate
from services.painter.routes.health import OPENAPI
from tests.integration.painter.studio import Studio, open_studio
from tests.servers import Keeper

EXAMPLES = int(os.environ.get("STUDIO_FUZZ_EXAMPLES", "5"))
ANSWER_SECONDS_MAX = 30.0
# A body of the right form may still be impossible, and what is asked for is mostly not there.
UNASKED = ("positive_data_acceptance", "ensure_resource_availability", "use_after_free")


@pytest.fixture
def painter_url(keeper: Keeper, fresh_database: str) -> Iterator[str]:
    """Give the address of a Painter whose house lives on the keeper's loop."""
    stack = contextlib.AsyncExitStack()

    async def begin() -> Studio:
        await migrate(fresh_database)
        engine = make_engine(fresh_database)
        stack.push_async_callback(engine.dispose)
        studio = await stack.enter_async_context(open_studio(engine, wait_seconds=0))
        studio.house.accept_all()
        return studio

    yield str(keeper.run(begin()).http.base_url).rstrip("/")
    keeper.run(stack.aclose())


@pytest.fixture
def document(request: pytest.FixtureRequest) -> Any:
    """Give the document, which is read when it is asked for and not when tests are collected."""
    # Where schemathesis looks for the name that pytest now keeps elsewhere.
    request.node._nodeid = request.node.nodeid
    schema = schemathesis.openapi.from_dict(json.loads(OPENAPI.read_text(encoding="utf-8")))
    schema.config.request_timeout = ANSWER_SECONDS_MAX
    return schema


@pytest.fixture
def http() -> Iterator[requests.Session]:
    """Give connections that are used again; cookies are not."""
    with requests.Session() as session:
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield session


schema = schemathesis.pytest.from_fixture("document")


@pytest.mark.covers("R226", "R252")
@pytest.mark.timeout(300)
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_it_answers_as_documented(case: Case, painter_url: str, http: requests.Session):
    is_form = case.media_type == "multipart/form-data"
    names = (*UNASKED, "negative_data_rejection") if is_form else UNASKED
    unasked: list[Any] = [CHECKS.get_one(name) for name in names]
    case.call_and_validate(base_url=painter_url, session=http, excluded_checks=unasked)
