"""A command that a page shows can be typed: its words, its options, its targets and modules."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from services.cli import app
from tests.architecture.tree import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHORT = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# Not the name of the service that `docker compose exec` is told.
STUDIO = re.compile(r"(?:^|(?<!exec)[\s/;|&(=])studio ([a-z_][\w-]*\b.*)")
MAKE = re.compile(r"(?:^|[;&] *)make ([a-z][a-z-]*)")
MODULE = re.compile(r"python3? -m ((?:tests|libs|services|training)[\w.]*)")
# In an output, a path or a sentence after the name of the program.
ENDS = re.compile(r"\s#|[|;&>`]|$")
ROOT_COMMAND: Any = typer.main.get_command(app)


def shown(page: Path) -> Iterator[str]:
    """Yield every line of examples and everything in backticks."""
    text = page.read_text(encoding="utf-8")
    for block in FENCED.findall(text):
        yield from block.splitlines()
    yield from SHORT.findall(FENCED.sub("", text))


def wrong_in(words: list[str]) -> str:
    """Return what of a `studio` command is not known; nothing if all is."""
    command, options = ROOT_COMMAND, {"--help"}
    for word in words:
        if word.startswith("-"):
            options |= {name for one in command.params for name in one.opts + one.secondary_opts}
            if word.partition("=")[0] not in options:
                return word
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return word
            command = command.commands[word]
    return ""


def studio_commands(line: str) -> Iterator[list[str]]:
    for rest in STUDIO.findall(line):
        typed = rest[: ENDS.search(rest).start()]  # type: ignore[union-attr]
        try:
            yield shlex.split(typed)
        except ValueError:
            yield typed.split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_is_shown_is_there(page: Path):
    targets = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {name for line in targets for name in line.split()}
    wrong = []
    for line in shown(page):
        wrong += [line for words in studio_commands(line) if wrong_in(words)]
        wrong += [line for target in MAKE.findall(line) if target not in known]
        wrong += [line for name in MODULE.findall(line) if not importlib.util.find_spec(name)]
    assert wrong == []


@pytest.mark.parametrize("typed", ["replay", "generate --size 3", "audit prove", "keys create -x"])
def test_a_wrong_command_would_be_found(typed: str):
    assert wrong_in(typed.split())
