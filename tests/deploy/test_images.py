"""The images: no root, no tools to build with, a pinned base, and one entry point."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.deploy.reading import DEPLOY, ROOT, run, script

FILES = [DEPLOY / "Dockerfile", DEPLOY / "gpu.Dockerfile"]
BASE = "python:3.11-slim-bookworm"
each_image = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def last_stage(path: Path) -> str:
    return path.read_text().rpartition("\nFROM ")[2]


@each_image
def test_hadolint_finds_nothing(path: Path):
    told = run(script("hadolint"), str(path))
    assert (told.returncode, told.stdout) == (0, "")


@each_image
def test_both_stages_begin_with_the_pinned_base(path: Path):
    assert re.findall(r"^FROM (\S+)", path.read_text(), re.MULTILINE) == [BASE, BASE]


@each_image
def test_what_runs_is_studio_as_an_ordinary_user_and_says_how_it_is(path: Path):
    lines = last_stage(path).splitlines()
    assert "USER 10001:10001" in lines
    assert 'ENTRYPOINT ["studio"]' in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert "/healthz" in last_stage(path)


@each_image
def test_the_last_stage_installs_nothing(path: Path):
    stage = last_stage(path)
    assert not re.search(r"\b(pip|apt-get|gcc|make)\b", stage)
    assert [line for line in stage.splitlines() if line.startswith("COPY")] == [
        "COPY --from=build /opt/studio /opt/studio"
    ]


@each_image
def test_all_that_is_copied_is_there_and_gets_past_dockerignore(path: Path):
    copied = [
        name
        for line in re.findall(r"^COPY ((?!--from).+)", path.read_text(), re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert {"libs", "services", "pyproject.toml"} <= set(copied)
    let_in = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert set(copied) == let_in
    assert all((ROOT / name).exists() for name in copied)


@each_image
def test_the_extras_are_ones_that_we_have(path: Path):
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)", path.read_text(), re.MULTILINE)
    assert set(extras.split(",")) <= set(known)
    assert ("worker" in extras) == (path.name == "gpu.Dockerfile")


@each_image
def test_the_health_check_is_a_program_that_python_takes(path: Path):
    (words,) = re.findall(r"^    CMD (\[.+\])$", path.read_text(), re.MULTILINE)
    program, option, source = json.loads(words)
    assert (program, option) == ("python", "-c")
    compile(source, path.name, "exec")
