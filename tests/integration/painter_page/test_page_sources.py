"""The page's sources keep their own rules, and what is built of them is small and strict."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess

import pytest

from deploy import build_site
from tests.e2e.houses import ROOT

SOURCE = ROOT / "web" / "painter"
SITE = ROOT / "services" / "painter" / "site"
SCRIPT_BYTES_MAX = 150_000
FILE_LINES_MAX = 400
NODE = build_site.find_node()

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").is_file() or NODE is None,
    reason="the Painter page is not built: make page-test",
)


def tool(name: str, *words: str) -> str:
    """Run a tool of the page's own; return what it says against the sources."""
    assert NODE is not None
    told = subprocess.run(
        [NODE, SOURCE / "node_modules" / name, *words],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return "" if told.returncode == 0 else told.stdout + told.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("typescript/bin/tsc", ("--noEmit",)),
        ("@biomejs/biome/bin/biome", ("ci", ".")),
        ("vitest/vitest.mjs", ("run",)),
    ],
    ids=["types", "style", "logic"],
)
def test_the_sources_hold_their_rules(name: str, words: tuple[str, ...]):
    assert tool(name, *words) == ""


def test_what_is_built_is_built_from_these_sources():
    assert build_site.STAMP.read_text() == build_site.digest()


def test_a_build_with_nothing_new_does_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build_site, "find_node", lambda: pytest.fail("it looked for Node"))
    assert build_site.main(testing=False) == 0


@pytest.mark.covers("R251")
def test_the_page_is_made_with_react_and_every_version_is_exact():
    manifest = (SOURCE / "package.json").read_text()
    versions = dict(re.findall(r'"([@\w/-]+)": "([^"]*\d+\.\d+\.\d+[^"]*)"', manifest))
    assert {"react", "react-dom", "vite"} <= set(versions)
    loose = {n: v for n, v in versions.items() if n != "node" and not re.fullmatch(r"[\d.]+", v)}
    assert not loose


@pytest.mark.covers("R050")
def test_the_script_is_small():
    scripts = list(SITE.rglob("*.js"))
    assert scripts
    assert sum(len(gzip.compress(path.read_bytes())) for path in scripts) < SCRIPT_BYTES_MAX


def test_nothing_in_the_page_needs_a_loose_content_policy_or_another_host():
    index = (SITE / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:", index)
    shown = [path for path in SITE.rglob("*") if path.suffix in {".html", ".css", ".svg"}]
    for path in shown:
        hosts = set(re.findall(r"(?:src|href|url)\W{1,3}(?:https?:)?//([\w.-]+)", path.read_text()))
        assert hosts == set(), path


def test_no_source_is_longer_than_a_reader_can_hold():
    sources = [*(SOURCE / "src").rglob("*.ts*"), *(SOURCE / "tests").glob("*.ts")]
    long = [path.name for path in sources if len(path.read_text().splitlines()) > FILE_LINES_MAX]
    assert sources
    assert not long


@pytest.mark.covers("R049", "R051")
def test_the_page_has_no_word_that_only_builders_of_graphs_know():
    known = re.compile(
        r"\b(samplers?|schedulers?|denois\w*|latents?|vae|cfg|nodes?|checkpoint loader|embeddings?)\b"
    )
    words = re.sub(r"//.*|/\*.*?\*/", "", (SOURCE / "src/texts.ts").read_text(), flags=re.DOTALL)
    assert known.findall(words.lower()) == []


@pytest.mark.skipif(shutil.which("node") is None, reason="this machine has no Node of its own")
def test_a_machine_without_node_gets_one_from_a_wheel(monkeypatch: pytest.MonkeyPatch):
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, 1, "", "")

    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(subprocess, "run", run)
    assert build_site.find_node() is None
    assert any(build_site.NODE_PACKAGE in command for command in asked)
