"""Makes `.venv` and installs the house into it; needs nothing but Python 3.11 or newer.

Usage: python3 deploy/set_up.py run|test

`uv` installs in a fraction of pip's time, but does not read pip's configuration, so a folder of
wheels that pip was told about is handed over to it. Where uv fails, plain pip does the work.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import build_site

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
RUN = "embedded,moderation,worker,portable,export"
EXTRAS = {"run": RUN, "test": f"{RUN},test"}
# Under another licence, so never part of the house itself; without it all else works.
EDITOR = "editor"
OLDEST = (3, 11)


def main() -> int:
    """Install what `sys.argv[1]` names; say what failed and what to do about it."""
    if sys.version_info < OLDEST:
        sys.stderr.write("Hanzo Studio needs Python 3.11 or newer; set PYTHON to one\n")
        return 1
    purpose = sys.argv[1] if len(sys.argv) > 1 else "run"
    python = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists() and not make_venv():
        return 1
    wanted = f"{ROOT}[{EXTRAS[purpose]}]"
    print(f"installing hanzo-studio[{EXTRAS[purpose]}] (a few minutes the first time)", flush=True)
    if not (with_uv(python, wanted) or with_pip(python, wanted)):
        sys.stderr.write(
            "the packages could not be installed; the lines above say why. They come from PyPI, or "
            "from where PIP_INDEX_URL or PIP_FIND_LINKS says\n"
        )
        return 1
    editor = f"{ROOT}[{EDITOR}]"
    if not (with_uv(python, editor) or with_pip(python, editor)):
        print("ComfyUI's editor could not be fetched; port 8188 shows the small page instead")
    if build_site.main(testing=purpose == "test"):
        print("until then port 3035 answers its API without the Painter page")
    (VENV / f"ready-{purpose}").touch()
    if purpose == "test":
        fetch_clients(python)
        (VENV / "ready-run").touch()
    return 0


def make_venv() -> bool:
    """Make `.venv`; where this Python lacks a part for that, say so and leave nothing half made."""
    print("making .venv", flush=True)
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.stderr.write(
            "this Python cannot put pip into an environment; on Debian and Ubuntu "
            "`apt-get install python3-venv` mends that\n"
        )
        return False
    return True


def fetch_clients(python: Path) -> None:
    """Fetch the published clients that tests run; without them those tests say that they skip."""
    command = [str(python), "-m", "tests.e2e.clients.installing"]
    if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode:
        print("the clients of ComfyUI could not be fetched; their tests will try again")


def with_uv(python: Path, wanted: str) -> bool:
    """Install with uv; False when uv is not to be had or fails."""
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "install", "-q", "uv"], check=False).returncode:
        return False
    environment = dict(os.environ)
    links = find_links(python)
    if links and "UV_FIND_LINKS" not in environment:
        environment["UV_FIND_LINKS"] = links
    command = [str(python), "-m", "uv", "pip", "install", "-q", "--compile-bytecode"]
    command += ["--python", str(python), "-e", wanted]
    return not subprocess.run(command, env=environment, check=False).returncode


def with_pip(python: Path, wanted: str) -> bool:
    """Install with plain pip, which is slower and always there."""
    print("uv did not manage; trying pip", flush=True)
    command = [str(python), "-m", "pip", "install", "-q", "-e", wanted]
    return not subprocess.run(command, check=False).returncode


def find_links(python: Path) -> str:
    """Return the folders of wheels that pip is configured with, comma-separated as uv wants."""
    told = subprocess.run(
        [str(python), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    for line in told.stdout.splitlines():
        name, _, value = line.partition("=")
        if name.endswith("find-links"):
            return ",".join(value.strip("'\"").split())
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
