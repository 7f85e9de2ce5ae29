"""A process asks for as many open files as it may have, and never gives any up."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from libs.chassis.open_files import allow_many
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
allow_many()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "after"), [(256, 2048, "2048 2048"), (1024, 1024, "1024 1024")]
)
def test_the_limit_is_raised_to_what_is_allowed(soft: int, hard: int, after: str):
    program = PROGRAM.format(soft=soft, hard=hard)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == after
