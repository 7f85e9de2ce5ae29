"""A package that is only installed brings a node type and a kind of network; nothing else changes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from libs.core.errors import Refused
from libs.diffusion.architectures import detect
from libs.diffusion.architectures.base import NetworkWeights
from libs.nodes.registry import schemas
from tests.unit.libs.diffusion import tiny

ROOT = Path(__file__).parents[4]
PLUGIN = ROOT / "tests/data/plugin"
GRAPH = {
    "model": {"class_type": "UNETLoader", "inputs": {"unet_name": "d.safetensors", "weight_dtype": "default"}},
    "clip": {"class_type": "CLIPLoader", "inputs": {"clip_name": "c.safetensors", "type": "stable_diffusion"}},
    "text": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["clip", 0], "text": "a dream"}},
    "mood": {"class_type": "DreamMood", "inputs": {"conditioning": ["text", 0], "brightness": 0.75}},
    "latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "sampler": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["model", 0], "positive": ["mood", 0], "negative": ["text", 0],
            "latent_image": ["latent", 0], "seed": 1, "steps": 2, "cfg": 1.0,
            "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        },
    },
    "save": {"class_type": "SaveLatent", "inputs": {"samples": ["sampler", 0], "filename_prefix": "dream"}},
}  # fmt: skip
PROGRAM = """
import json, sys
from pathlib import Path
from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.nodes.local import LocalContext
from libs.nodes.registry import load, schemas
from services.gpu_worker.executor import Executor
from services.gpu_worker.results import ResultMemory
from tests.unit.silent import Silent
from tests.unit.libs.diffusion import tiny

root, graph = Path(sys.argv[1]), json.loads(sys.argv[2])
parsed, loader = parse(graph), tiny.loader()
Executor(load(), ResultMemory(2**26)).execute(
    parsed, plan(parsed, Catalogue(schemas()), ["save"]),
    lambda node_id: LocalContext(root=root, loader=loader, node_id=node_id, prompt=graph),
    Silent(),
)
"""


def run(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{path}"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=120,
    )  # fmt: skip


def digest_of_the_house() -> str:
    whole = hashlib.sha256()
    for package in ("libs", "services"):
        for path in sorted((ROOT / package).rglob("*.py")):
            whole.update(path.read_bytes())
    return whole.hexdigest()


@pytest.fixture
def models(tmp_path) -> Any:
    tiny.written(
        tmp_path / "models/diffusion_models/d.safetensors", {"dream.strength": torch.tensor([4.0])}
    )
    encoder = tiny.text_encoder(64, 1)
    names = {f"text_model.{name}": t for name, t in encoder.state_dict().items()}
    tiny.written(tmp_path / "models/text_encoders/c.safetensors", names)
    return tmp_path


@pytest.mark.covers("R030")
def test_an_installed_package_adds_a_kind_of_network_and_a_node_type(models):
    before = digest_of_the_house()
    done = run(str(PLUGIN), str(models), json.dumps(GRAPH))
    assert done.returncode == 0, done.stderr
    (saved,) = (models / "output").glob("dream*")
    # Euler ends at the picture that the network saw; the wire is twice the network's numbers.
    samples = load_file(saved)["latent_tensor"]
    assert torch.allclose(samples, torch.full((1, 4, 8, 8), 0.75 * 4.0 / 0.5), atol=1e-5)
    assert digest_of_the_house() == before


@pytest.mark.covers("R030")
def test_without_the_package_neither_is_known():
    assert "DreamMood" not in schemas()
    with pytest.raises(Refused, match="no diffusion network of a known kind"):
        detect(NetworkWeights.of({"dream.strength": (1,)}))
