"""Fixtures that every folder of tests may use, and the order in which their files begin."""

from __future__ import annotations

import os
from pathlib import Path

# Several processes share the cores, each with one thread for its arrays: threads that wait for
# each other's cores made tests three times as slow. Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

# How long an example takes says how busy the machine is; speed is measured in tests/bench.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

pytest_plugins = ["tests.servers"]

# `make test` hands out whole files to its processes. Those that take longest begin first, so that
# no process is left alone with one of them at the end.
LONGEST = (
    "tests/fidelity/test_fidelity.py",
    "tests/architecture/test_rules.py",
    "tests/chaos/test_short_chaos.py",
    "tests/e2e/test_poison.py",
    "tests/e2e/test_records.py",
    "tests/e2e/test_full_disk.py",
    "tests/e2e/test_faults.py",
    "tests/e2e/test_editor.py",
    "tests/integration/gpu_worker/test_real_engine.py",
    "tests/e2e/test_commands.py",
    "tests/e2e/clients/test_clients.py",
    "tests/e2e/test_permissions_of_a_house.py",
    "tests/e2e/test_telemetry_house.py",
    "tests/integration/recorder/test_audit_command.py",
    "tests/integration/embedded/test_house.py",
    "tests/integration/embedded/test_each_server.py",
    "tests/chaos/seeded/test_seeds.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files that take longest first; within a file nothing moves."""
    places = {config.rootpath / name: place for place, name in enumerate(LONGEST)}
    if unknown := [str(path) for path in places if not path.exists()]:
        raise pytest.UsageError(f"conftest.py names files that are not there: {unknown}")
    items.sort(key=lambda item: places.get(Path(item.path), len(LONGEST)))
