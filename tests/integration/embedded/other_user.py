"""What another user of this machine needs to run our code: a way in, and a Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROBE_USER = 65534


@contextmanager
def folder_open_to_all() -> Iterator[Path]:
    """Make a folder that others reach; every pytest of ours closes those that any of them made."""
    with tempfile.TemporaryDirectory(prefix="studio-open-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


def reachable_python(folder: Path) -> str:
    """Give a Python with our packages that other users may execute.

    Root's own is often in root's closed home. Then an environment is made in `folder` from a
    Python of the system, with the packages and programs of ours.
    """
    if _may_execute(sys.executable):
        return sys.executable
    name = f"python3.{sys.version_info.minor}"
    system = shutil.which(name, path="/usr/bin:/usr/local/bin:/opt/bin")
    if system is None or not _may_execute(system):
        pytest.skip(f"no {name} that an ordinary user may execute")
    environment = folder / "environment"
    subprocess.run([system, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = environment / "lib" / name / "site-packages" / "ours.pth"
    packages.write_text(sysconfig.get_path("purelib") + "\n")
    for program in ("nats-server", "weed"):
        theirs = environment / "bin" / program
        theirs.symlink_to(Path(sysconfig.get_path("scripts")) / program)
    return str(environment / "bin" / "python")


def _may_execute(python: str) -> bool:
    try:
        asked = subprocess.run(
            # The prefix is lost when the library beside the program cannot be read.
            [python, "-c", "import sys; print(sys.base_prefix)"],
            user=PROBE_USER,
            group=PROBE_USER,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return asked.returncode == 0
