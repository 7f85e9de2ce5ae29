"""The same graph under the same fingerprint gives the same bytes, whoever executes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from libs.diffusion import determinism
from libs.diffusion.determinism import digest, fingerprint, pinned_environment
from libs.diffusion.fast.levers import Levers
from libs.diffusion.placement import Placement
from tests.unit.libs.diffusion import tiny
from tests.unit.libs.diffusion.test_diffusion_control import network
from tests.unit.libs.diffusion.test_diffusion_graphs import pictures
from tests.unit.libs.diffusion.tiny_adapters import lora, photo

ROOT = Path(__file__).parents[4]


def graph(sampler: str, *, adapted: bool = False) -> Any:
    """Return a text turned into a picture, with a LoRA and a ControlNet if it is adapted."""
    model, text, hint = ["1", 0], ["1", 1], ["2", 0]
    adapters: dict[str, Any] = {}
    if adapted:
        model, text, hint = ["10", 0], ["10", 1], ["13", 0]
        strengths = {"strength_model": 0.8, "strength_clip": 0.5}
        adapters = {
            "10": node(
                "LoraLoader", model=["1", 0], clip=["1", 1], lora_name="l.safetensors", **strengths
            ),
            "11": node("ControlNetLoader", control_net_name="c.safetensors"),
            "12": node("LoadImage", image="photo.png"),
            "13": node(
                "ControlNetApply",
                conditioning=["2", 0],
                control_net=["11", 0],
                image=["12", 0],
                strength=0.7,
            ),
        }
    walk = {"seed": 5, "steps": 3, "cfg": 7.0, "scheduler": "karras", "denoise": 1.0}
    return adapters | {
        "1": node("CheckpointLoaderSimple", ckpt_name="m.safetensors"),
        "2": node("CLIPTextEncode", clip=text, text="a (red:1.3) cat"),
        "3": node("CLIPTextEncode", clip=text, text=""),
        "4": node("EmptyLatentImage", width=64, height=64, batch_size=2),
        "5": node(
            "KSampler",
            model=model,
            positive=hint,
            negative=["3", 0],
            latent_image=["4", 0],
            sampler_name=sampler,
            **walk,
        ),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": node("SaveImage", images=["6", 0], filename_prefix="again"),
    }


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def started(root: Path, graphs: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.unit.libs.diffusion.repeated", str(root), str(graphs)]
    environment = {**os.environ, **pinned_environment(1), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


GRAPHS = {
    "text": graph("euler"),
    "ancestral": graph("euler_ancestral"),
    "adapted": graph("dpmpp_2m_sde", adapted=True),
}


def rooms(folder: Path) -> list[Path]:
    """Return two folders with the same files at hand."""
    models = folder / "models"
    tiny.written(models / "checkpoints/m.safetensors", tiny.sd1())
    tiny.written(models / "loras/l.safetensors", lora(1))
    tiny.written(models / "controlnet/c.safetensors", network(tiny.SD1_UNET).state_dict())
    made = [folder / "first", folder / "second"]
    for root in made:
        (root / "input").mkdir(parents=True)
        photo(0).save(root / "input/photo.png")
        (root / "models").symlink_to(models)
    return made


@pytest.mark.covers("R014")
def test_a_graph_writes_the_same_bytes_when_all_is_loaded_anew(tmp_path):
    first, second = rooms(tmp_path)
    assert pictures(first, GRAPHS["adapted"]) == pictures(second, GRAPHS["adapted"])


@pytest.mark.long  # Torch and diffusers are imported twice.
@pytest.mark.timeout(300)
@pytest.mark.covers("R014", "R015")
def test_two_fresh_processes_of_one_fingerprint_write_the_same_bytes(tmp_path):
    graphs = tmp_path / "graphs.json"
    graphs.write_text(json.dumps(GRAPHS), encoding="utf-8")
    processes = [started(root, graphs) for root in rooms(tmp_path)]
    first, second = (json.loads(process.communicate(timeout=280)[0]) for process in processes)
    assert first["fingerprint"] == second["fingerprint"]
    assert first["pictures"] == second["pictures"]
    files = [name for names in first["pictures"].values() for name in names]
    assert len(files) == len(set(files)) == 6


def test_a_fingerprint_names_all_that_can_change_a_byte():
    facts = fingerprint({"checkpoints/a": "abc"}, Placement.cpu(), 0)
    for package in ("torch", "diffusers", "transformers", "pillow", "av", "hanzo-studio"):
        assert facts[package] == version(package)
    assert facts["onednn"].startswith("v")
    assert "Build" in facts["mkl"]
    wanted = {"zlib", "device", "dtype", "storage", "threads", "cpu", "machine", "memory_format"}
    wanted |= {"batch", "attention", "compatibility", "profile", "mkl_cbwr", "deterministic"}
    assert wanted <= facts.keys()
    assert all(isinstance(value, str) for value in facts.values())


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("profile", lambda: fingerprint({}, Placement.cpu(), 0, profile="fast")),
        ("compatibility", lambda: fingerprint({}, Placement.cpu(), 11528)),
        ("weights/a", lambda: fingerprint({"a": "1"}, Placement.cpu(), 0)),
        (
            "memory_format",
            lambda: fingerprint({}, Placement.cpu(), 0, levers=Levers(channels_last=True).told()),
        ),
    ],
)
def test_where_fingerprints_differ_the_difference_is_the_reason(name, other):
    here, there = fingerprint({}, Placement.cpu(), 0), other()
    assert {key for key in here.keys() | there.keys() if here.get(key) != there.get(key)} == {name}
    assert digest(here) != digest(there)


def test_another_number_of_threads_is_another_fingerprint():
    here = fingerprint({}, Placement.cpu(), 0)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        there = fingerprint({}, Placement.cpu(), 0)
    finally:
        torch.set_num_threads(threads)
    assert {name for name in here if here[name] != there[name]} == {"threads"}


def test_without_pinned_instructions_the_processor_is_named(monkeypatch):
    for name, value in determinism.PORTABLE_INSTRUCTIONS.items():
        monkeypatch.setenv(name, value)
    assert "processor" not in fingerprint({}, Placement.cpu(), 0)
    monkeypatch.delenv("MKL_CBWR")
    assert fingerprint({}, Placement.cpu(), 0)["processor"]
