"""Painter as a process of its own is a client of the API: a database, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from libs.chassis.embedded.house import EmbeddedServers
from libs.chassis.resources import check_settings
from libs.core.errors import Misconfigured
from libs.settings import Settings
from services.commands.living import _access_of


def test_painter_is_given_no_bus_and_no_storage():
    told = {"NATS_URL": "nats://house@here"}
    servers: Any = SimpleNamespace(environment_of=lambda _name: told)
    assert _access_of(cast("EmbeddedServers", servers), "gateway") == told
    painter = _access_of(cast("EmbeddedServers", servers), "painter")
    assert set(painter.values()) == {""}
    assert {"NATS_URL", "NATS_PASSWORD", "S3_ENDPOINT", "S3_SECRET_KEY"} <= set(painter)


@pytest.mark.covers("R032")
def test_painter_needs_a_database_and_a_key_and_no_bus():
    settings = Settings(
        nats_url="", s3_endpoint="", database_url="postgresql://here", master_key=SecretStr("k")
    )
    check_settings(settings, alone=True)
    with pytest.raises(Misconfigured):
        check_settings(settings)
