"""Whatever a page points at is there: files, folders, headings, and pictures."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.architecture.tree import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "training" / "README.md"]
    + [page for top in ("libs", "services") for page in (ROOT / top).rglob("*.md")]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# `deploy/k8s`, `tests/e2e/test_faults.py`: what a page says lies in the repository.
PLACE = re.compile(r"`((?:docs|libs|services|tests|deploy|training|web)/[\w./-]+)`")
# Made by running what is described there.
MADE = ("services/painter/site",)


@cache
def prose(page: Path) -> str:
    """Return a page without its examples."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the names that the headings of a page have in an address."""
    headings: list[str] = []
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(page), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        kept = "".join(c for c in words if c in "-_ " or unicodedata.category(c)[0] in "LN")
        name = kept.replace(" ", "-")
        again = headings.count(name)
        headings.append(name)
        found.add(f"{name}-{again}" if again else name)
    return frozenset(found)


def dead(page: Path, link: str) -> bool:
    """Say whether a link leads nowhere."""
    if re.match(r"[a-z]+:", link):
        return False
    place, _, heading = unquote(link).partition("#")
    target = (page.parent / place).resolve() if place else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(heading) and heading not in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_link_is_dead(page: Path):
    assert [link for link in LINK.findall(prose(page)) if dead(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_place_that_is_named_is_there(page: Path):
    named = {place for place in PLACE.findall(prose(page)) if not place.startswith(MADE)}
    assert [place for place in sorted(named) if not (ROOT / place).exists()] == []


def test_a_dead_link_would_be_found():
    page = ROOT / "docs" / "deploy.md"
    assert dead(page, "nowhere.md")
    assert dead(page, "api.md#no-such-heading")
    assert dead(page, "../../elsewhere.md")
    assert not dead(page, "#rights-on-the-bus")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_the_readme_leads_to_every_page(page: Path):
    assert f"(docs/{page.name})" in (ROOT / "README.md").read_text(encoding="utf-8")
