"""The committed document is that of the code, and tells every route."""

from __future__ import annotations

import json

import pytest

from services.painter.openapi import DOCS, UNTOLD, page
from services.painter.routes.health import OPENAPI


@pytest.mark.covers("R226", "R252")
def test_the_committed_document_is_the_one_of_the_code():
    # `python -m services.painter.openapi > services/painter/openapi.json` writes it anew.
    assert OPENAPI.read_text(encoding="utf-8") == page()


def test_every_route_is_told_and_nothing_else():
    paths = json.loads(page())["paths"]
    told = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert told == set(DOCS)
    assert not {path for _, path in told} & UNTOLD
