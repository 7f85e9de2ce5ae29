"""The command line, as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.houses import ROOT, House, environment


def test_generate_writes_the_picture_and_says_what_it_cost(shared_house: House, tmp_path: Path):
    target = tmp_path / "circle.png"
    told = shared_house.studio("generate", "a red circle on blue", "-o", str(target), "--seed", "7")
    assert told.returncode == 0, told.stderr
    assert Image.open(target).size == (256, 256)
    assert str(target) in told.stdout
    assert "credits" in told.stdout
    assert "\x1b[" not in told.stdout


def test_generate_speaks_json_to_programs(shared_house: House, tmp_path: Path):
    target = tmp_path / "fox.png"
    told = shared_house.studio("generate", "a fox", "-o", str(target), "--json")
    answer = json.loads(told.stdout)
    assert answer["file"] == str(target)
    assert answer["usage"]["cost_credits"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("generate", "a swastika"), "refused"),
        (("generate", "a fox", "--model", "no.safetensors"), "no.safetensors"),
        (("generate", "a fox", "-o", "/nowhere/at/all.png"), "cannot be written"),
        (("story", "nobody"), "no event"),
        (("keys", "create", "--tenant", "a b", "--user", "x"), "tenant"),
    ],
)
def test_what_goes_wrong_is_said_in_words(shared_house: House, arguments, words):
    told = shared_house.studio(*arguments)
    assert told.returncode != 0
    assert words in told.stderr + told.stdout
    assert "Traceback" not in told.stderr


def test_a_second_house_on_the_same_folder_is_refused_with_advice(shared_house: House):
    told = shared_house.studio("up", "--port", "0")
    assert told.returncode == 1
    assert "already running" in told.stderr
    assert "Traceback" not in told.stderr


def test_nodes_and_models_are_listed(shared_house: House):
    nodes = json.loads(shared_house.studio("nodes", "KSampler", "--json").stdout)
    assert "KSampler" in {node["type"] for node in nodes}
    models = json.loads(shared_house.studio("models", "--json").stdout)
    assert "hanzo-demo-64.safetensors" in models["checkpoints"]


def test_a_person_is_told_what_the_demo_model_knows(shared_house: House):
    told = shared_house.studio("models").stdout
    assert "checkpoints/hanzo-demo-64.safetensors" in told
    assert "fox" in told
    assert "in the snow" in told


@pytest.mark.timeout(200)
def test_the_demo_speaks_json_and_leaves_nothing_running(tmp_path: Path):
    home = tmp_path / "home"
    told = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", "a fox", "-o", "fox.png", "--json"],
        cwd=tmp_path,
        env=environment(home) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert Image.open(json.loads(told.stdout)["file"]).size == (256, 256)
    left = [
        pid for pid in Path("/proc").iterdir() if pid.name.isdigit() and str(home) in _words_of(pid)
    ]
    assert not left


def _words_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@pytest.mark.parametrize("command", ["up", "generate", "story", "nodes", "models", "demo"])
def test_help_has_an_example(shared_house: House, command):
    told = shared_house.studio(command, "--help")
    assert told.returncode == 0
    assert "Example" in told.stdout
