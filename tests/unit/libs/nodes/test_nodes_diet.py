"""What a process loads that only reads the node types: gateway, validator and command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "numpy", "boto3", "sqlalchemy")


@pytest.mark.parametrize("module", ["libs.nodes.registry", "services.cli"])
def test_neither_arrays_nor_drivers_are_loaded_to_read_what_there_is(module: str):
    program = (
        f"import sys, {module}\n"
        "from libs.nodes.registry import schemas\n"
        "schemas()\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100
    )
    assert done.stdout.split() == []
