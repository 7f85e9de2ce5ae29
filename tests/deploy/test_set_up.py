"""A fresh machine that lacks something is told what, and nothing half made stays behind."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.deploy.reading import DEPLOY


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(DEPLOY))
    module = importlib.import_module("set_up")
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module.sys, "argv", ["set_up.py", "run"])
    return module


def test_a_python_that_makes_no_environments_is_told_of(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def create(folder: Path, **_: Any) -> None:
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(set_up.venv, "create", create)
    assert set_up.main() == 1
    assert "python3-venv" in capsys.readouterr().err
    assert not set_up.VENV.exists()


def test_a_machine_that_reaches_no_index_is_told_of(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(set_up.venv, "create", lambda _, **__: None)
    failed = subprocess.CompletedProcess([], 1, "", "")
    monkeypatch.setattr(set_up.subprocess, "run", lambda *_, **__: failed)
    assert set_up.main() == 1
    assert "PyPI" in capsys.readouterr().err
    assert not (set_up.VENV / "ready-run").exists()


def test_an_old_python_is_told_of(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(set_up.sys, "version_info", (3, 10))
    assert set_up.main() == 1
    assert "3.11" in capsys.readouterr().err
