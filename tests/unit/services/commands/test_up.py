"""`studio up` listens where its settings say, and can be stopped while it starts."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from libs.core.errors import Unavailable
from libs.settings import Settings
from services import cli
from services.commands import living


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `studio up` asks of the house that it would start."""
    wish: dict[str, Any] = {}

    @asynccontextmanager
    async def live(_settings: Settings, **told: Any) -> AsyncIterator[None]:
        wish.update(told)
        raise Unavailable("the test starts nothing")
        yield

    monkeypatch.setattr(living, "live", live)
    return wish


def test_the_settings_of_ports_are_heard(asked: dict[str, Any]):
    ports = {"STUDIO_GATEWAY_PORT": "18188", "STUDIO_PAINTER_PORT": "13035"}
    CliRunner().invoke(cli.app, ["up"], env=ports)
    assert (asked["port"], asked["painter_port"]) == (18188, 13035)


def test_a_start_that_is_called_off_ends_without_a_complaint(monkeypatch: pytest.MonkeyPatch):
    @asynccontextmanager
    async def live(_settings: Settings, **_: Any) -> AsyncIterator[None]:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(living, "live", live)
    told = CliRunner().invoke(cli.app, ["up"])
    assert told.exit_code == 0, told.exception
    assert "stopped before the house was up" in told.output


def test_the_command_line_goes_before_the_settings(asked: dict[str, Any]):
    CliRunner().invoke(cli.app, ["up", "--port", "0"], env={"STUDIO_GATEWAY_PORT": "18188"})
    assert asked["port"] == 0


@pytest.mark.parametrize("name", ["STUDIO_GATEWAY_PORT", "STUDIO_PAINTER_PORT"])
@pytest.mark.parametrize("value", ["abc", "65536"])
def test_what_is_no_port_is_refused_by_name(asked: dict[str, Any], name: str, value: str):
    told = CliRunner().invoke(cli.app, ["up"], env={name: value}, terminal_width=200)
    assert told.exit_code == 2
    assert name in told.output
    assert not asked
