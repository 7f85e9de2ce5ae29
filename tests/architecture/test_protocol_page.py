"""Every row of the page about ComfyUI's protocol names a test that is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import groupby

from tests.architecture.tree import ROOT

PAGE = ROOT / "docs" / "protocol.md"
ROW = re.compile(
    r"\| (?P<section>S\d+(?:\.\d+)?)\.(?P<number>\d+) \| (?P<claim>[^|]+) \| (?P<tests>.+) \|"
)
NODE_ID = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
SECTIONS = ["S0", "S1.1", "S1.2", "S2", "S3", "S4", "S5", "S6"]
HEADS = ("| row | what a client may rely on | shown by |", "|---|---|---|")


def rows() -> list[re.Match[str]]:
    """Return the rows; a line of a table that is none fails."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    found = [ROW.fullmatch(line) for line in lines if line.startswith("|") and line not in HEADS]
    assert all(found)
    return [row for row in found if row]


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of a file's tests that every run executes."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        one.name
        for one in tree.body
        if isinstance(one, functions)
        and "pytest.mark.long" not in map(ast.unparse, one.decorator_list)
    )


def test_every_row_names_tests_and_all_of_them_are_there():
    for row in rows():
        named = NODE_ID.findall(row["tests"])
        assert named, row["claim"]
        assert ", ".join(f"`{path}::{name}`" for path, name in named) == row["tests"]
        for path, name in named:
            assert name in names_in(path), f"{path}::{name}"


def test_rows_are_numbered_within_their_sections_and_say_one_thing_each():
    found = rows()
    sections = groupby(found, lambda row: row["section"])
    numbered = {name: [int(row["number"]) for row in group] for name, group in sections}
    assert list(numbered) == SECTIONS
    for name, numbers in numbered.items():
        assert numbers == list(range(1, len(numbers) + 1)), name
    claims = [row["claim"] for row in found]
    assert len(set(claims)) == len(claims)


def test_a_row_that_differs_says_so_first():
    for row in rows():
        assert ("**Differs**" in row["claim"]) == row["claim"].startswith("**Differs**: ")
