"""Whatever a client sends, the answer is never a 5xx."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.events.prompt import PromptSubmitted
from libs.events.run import RunQueued
from tests.integration.gateway.house import GRAPH, House, open_house

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
PATHS = st.sampled_from(["/prompt", "/queue", "/history", "/interrupt", "/api/jobs/cancel"])
READS = st.sampled_from(
    ["/view", "/history", "/api/history", "/queue", "/api/jobs", "/object_info", "/models"]
)
NAMES = st.sampled_from(
    [
        "filename",
        "subfolder",
        "type",
        "preview",
        "channel",
        "max_items",
        "offset",
        "prompt_id",
        "status",
        "limit",
        "sort_by",
        "token",
        "format",
    ]
)
GENTLE = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
async def quick(engine: AsyncEngine) -> AsyncIterator[House]:
    """Give a house that accepts everything at once."""
    async with open_house(engine, settle_seconds=0, queue_depth_max=100_000) as house:

        async def accept(recorded: Any) -> None:
            prompt_id = recorded.event.prompt_id
            queued = RunQueued(prompt_id=prompt_id, number=1, tier="free", account="a")
            await house.append(queued)

        house.react(PromptSubmitted, accept)
        yield house


async def test_no_body_makes_us_fail(quick: House):
    bodies = st.one_of(
        st.binary(max_size=60),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {"prompt": st.just(GRAPH) | JSON},
            optional={
                "client_id": JSON,
                "prompt_id": JSON,
                "number": JSON,
                "front": JSON,
                "extra_data": JSON,
                "partial_execution_targets": JSON,
                "delete": JSON,
                "clear": JSON,
                "job_ids": JSON,
            },
        ).map(lambda value: json.dumps(value).encode()),
    )
    for path, body in _examples(st.tuples(PATHS, bodies)):
        answer = await quick.http.post(path, content=body)
        assert answer.status_code < 500, (path, body, answer.text)


async def test_no_query_makes_us_fail(quick: House):
    queries = st.dictionaries(NAMES, st.text(max_size=30), max_size=4)
    for path, query in _examples(st.tuples(READS, queries)):
        text = "&".join(
            f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}"
            for name, value in query.items()
        )
        answer = await quick.http.get(f"{path}?{text}")
        assert answer.status_code < 500, (path, text, answer.text)


async def test_no_path_makes_us_fail(quick: House):
    prefixes = st.sampled_from(["/history/", "/object_info/", "/models/", "/api/jobs/", "/"])
    for prefix, name in _examples(st.tuples(prefixes, st.binary(max_size=12))):
        answer = await quick.http.get(prefix + quote(name, safe=""))
        assert answer.status_code < 500, (prefix, name, answer.text)


def _examples(strategy: Any) -> list[Any]:
    """Draw examples first: the house and hypothesis cannot share one event loop."""
    drawn: list[Any] = []

    @GENTLE
    @given(strategy)
    def draw(example: Any) -> None:
        drawn.append(example)

    draw()
    return drawn
