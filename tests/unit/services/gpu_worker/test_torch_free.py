"""The agent never holds torch: a crash of torch must be a crash of the engine alone."""

from __future__ import annotations

import subprocess
import sys


def test_the_agent_starts_without_torch():
    program = (
        "import sys, services.gpu_worker.main, services.gpu_worker.engine;"
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100
    )
    assert found.stdout.strip() == "[]"
