"""The core is pure, an event type has one writer, and torch stays in the worker."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from libs.events.base import SUBJECT_PREFIX
from libs.events.catalogue import EVENTS
from tests.architecture.tree import ROOT, is_pure, sources

ASKS_THE_WORLD = {
    "now", "utcnow", "today", "time", "monotonic", "perf_counter",
    "uuid4", "uuid7", "uuid1", "random", "randint", "choice", "getenv", "environ",
}  # fmt: skip
WORLDLY = {"datetime", "time", "uuid", "random", "os", "secrets", "date"}


def test_the_core_never_asks_the_clock_the_dice_or_the_machine():
    asked = [
        f"{source.path}:{node.lineno} {node.value.id}.{node.attr}"
        for source in sources("libs", "services")
        if is_pure(source.path)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in WORLDLY
        and node.attr in ASKS_THE_WORLD
    ]
    assert not asked


def test_the_domain_knows_its_types():
    vague = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources("services")
        if "/domain/" in source.path
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for part in [*_annotations(node)]
        if isinstance(part, ast.Name) and part.id == "Any"
    ]
    assert not vague


def test_an_event_is_made_by_its_owner_alone():
    strangers = [
        f"{source.path}:{node.lineno} {node.func.id}"
        for source in sources("services")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in EVENTS
        and not source.path.startswith(f"services/{EVENTS[node.func.id].owner}/")
    ]
    assert not strangers


def test_every_kind_of_event_has_one_owner():
    owners: dict[str, set[str]] = {}
    for cls in EVENTS.values():
        owners.setdefault(cls.kind, set()).add(cls.owner)
    assert all(len(who) == 1 for who in owners.values()), owners


def test_a_subject_is_derived_and_never_typed():
    typed = [
        f"{source.path}:{node.lineno}"
        for source in sources("services", "libs")
        if source.path != "libs/events/base.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(f"{SUBJECT_PREFIX}.")
        and node.value != f"{SUBJECT_PREFIX}.>"
    ]
    assert not typed


@pytest.mark.covers("R032")
@pytest.mark.parametrize(
    "module",
    [
        "services.gateway.main", "services.validator.main", "services.moderation.main",
        "services.billing.main", "services.scheduler.main", "services.recorder.main",
        "services.gpu_worker.main", "services.cli", "libs.nodes.registry",
    ],
)  # fmt: skip
def test_no_torch_reaches(module):
    program = (
        f"import sys, {module}; "
        "print(sorted({n.partition('.')[0] for n in sys.modules} & "
        "{'torch', 'diffusers', 'transformers'}))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == "[]"


def _annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.AST]:
    given = [argument.annotation for argument in (*node.args.args, *node.args.kwonlyargs)]
    return [part for whole in (*given, node.returns) if whole for part in ast.walk(whole)]
