"""The files of deploy/ as the programs that use them read them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
K8S = DEPLOY / "k8s"
NATS = DEPLOY / "nats"
Manifest = dict[str, Any]


def script(name: str) -> str:
    """Return a program that came with a Python package."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def read_yaml(path: Path) -> Any:
    """Return the one document of a file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@cache
def manifests() -> list[Manifest]:
    """Return every Kubernetes manifest of ours; nobody changes what is returned."""
    files = sorted(set(K8S.glob("*.yaml")) - {K8S / "kustomization.yaml"})
    return [one for path in files for one in yaml.safe_load_all(path.read_text())]


def manifest(kind: str, name: str) -> Manifest:
    """Return one manifest."""
    (found,) = [
        one for one in manifests() if one["kind"] == kind and one["metadata"]["name"] == name
    ]
    return found


def pods() -> dict[str, Manifest]:
    """Return the pod that each workload makes, by the workload's name."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in manifests()
        if one["kind"] in {"Deployment", "StatefulSet", "Job"}
    }


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an environment of nothing but a path and what is given."""
    return subprocess.run(
        arguments,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(DEPLOY / "none"), **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def compose(file: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run docker-compose on one of our files; nothing of it needs an engine."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed (apt-get install docker-compose)")
    return run(program, "-f", str(DEPLOY / file), *arguments, **environment)
