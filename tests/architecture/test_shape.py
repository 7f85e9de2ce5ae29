"""Sizes and names of files and functions."""

from __future__ import annotations

import ast
import re

from tests.architecture.tree import sources

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
HOUSE = ("services", "libs", "training", "tests", "deploy")
DRAWERS = re.compile(r"(^|/)(utils?|helpers?|misc|common)(\.py|/)")
# Spelled in halves, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")


def test_no_file_is_longer_than_a_reader_can_hold():
    long = {s.path: s.lines for s in sources(*HOUSE) if s.lines > FILE_LINES_MAX}
    assert not long


def test_no_function_is_longer_than_a_screen():
    long = {
        f"{source.path}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for source in sources(*HOUSE)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert not long


def test_no_module_is_a_drawer_without_a_name():
    assert not [s.path for s in sources(*HOUSE) if DRAWERS.search(s.path)]


def test_every_module_says_in_a_sentence_what_it_is():
    silent = [
        source.path
        for source in sources("services", "libs", "training")
        if source.text.strip()
        and not ast.get_docstring(source.tree)
        and "/migrations/" not in source.path
        and source.path not in {"services/__init__.py", "libs/__init__.py"}
    ]
    assert not silent


def test_nothing_is_left_unfinished():
    marks = [
        f"{source.path}:{number}"
        for source in sources(*HOUSE)
        for number, line in enumerate(source.text.splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    assert not marks


def test_no_error_is_swallowed():
    silent = [
        f"{source.path}:{node.lineno}"
        for source in sources("services", "libs")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or _catches_everything(node.type))
        and all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
    ]
    assert not silent


def _catches_everything(caught: ast.expr) -> bool:
    return isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"}
