"""The house's own source files, parsed once for all rules."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One Python file: where it lies, its text, its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Return how long the file is."""
        return len(self.text.splitlines())


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Return all Python files of `folders` that git tracks or would."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    paths = [name for name in listed if name.endswith(".py") and (ROOT / name).exists()]
    return tuple(
        Source(path, text, ast.parse(text, path))
        for path in paths
        for text in [(ROOT / path).read_text(encoding="utf-8")]
    )


def is_pure(path: str) -> bool:
    """Say whether a file belongs to the functional core."""
    return (
        path.startswith(("libs/core/", "libs/events/", "libs/graph/"))
        or path == "libs/decider.py"
        or (path.startswith("services/") and "/domain/" in path)
    )
