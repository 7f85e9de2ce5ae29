"""The page is built and a browser is there, or it is said why nothing is tested."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browsing import CHROMIUM, SITE, browse, watched

OpenPage = Callable[..., AbstractAsyncContextManager[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say why, where the page or the browser is missing."""
    marks: list[pytest.MarkDecorator] = [pytest.mark.browser]
    if CHROMIUM is None:
        marks.append(pytest.mark.skip(reason="no Chromium on this machine"))
    if not (SITE / "index.html").is_file():
        marks.append(pytest.mark.skip(reason="the Painter page is not built: make page-test"))
    for item in items:
        if "painter_page" in item.path.parts and "sources" not in item.path.name:
            for mark in marks:
                item.add_marker(mark)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Run a browser."""
    async with browse() as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> OpenPage:
    """Return what opens a page that is being watched."""
    return partial(watched, browser)
