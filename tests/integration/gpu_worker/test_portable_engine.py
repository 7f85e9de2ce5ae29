"""A worker without torch executes the graph that workers with torch execute."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from libs import weights
from libs.diffusion.export import export
from libs.events.execution import ExecutionFinished, NodeFinished
from libs.weights.exported import ExportedFolder, place_of
from tests.integration.gpu_worker.workshop import Workshop

pytestmark = pytest.mark.timeout(450)
DEMO = Path(weights.__file__).with_name("demo")


@pytest.mark.covers("R057", "R060", "R062", "R396")
async def test_the_demo_graph_is_executed_by_a_worker_without_torch(tmp_path):
    name = "hanzo-demo-64.safetensors"
    export(DEMO / name, place_of(tmp_path, name))
    graph = json.loads((DEMO / "graph.json").read_text())
    # The upscaler is a network of the torch engine: the picture is saved as it is decoded.
    save = next(key for key, node in graph.items() if node["class_type"] == "SaveImage")
    decode = next(key for key, node in graph.items() if node["class_type"] == "VAEDecode")
    graph[save]["inputs"]["images"] = [decode, 0]
    workshop = Workshop(tmp_path)
    workshop.settings = workshop.settings.model_copy(update={"engine": "portable"})
    async with workshop.house.scheduler(), workshop.moderation():
        agent = workshop.make("gpu0-a", _portable_command)
        agent.folder = ExportedFolder(tmp_path)
        async with workshop.running(agent):
            await workshop.submit("p1", graph, save)
            end = await workshop.house.ended("p1", 300)
    assert (end.outcome, end.attempt) == ("succeeded", 1)
    news = workshop.news("p1")
    shown = next(event for event in news if isinstance(event, NodeFinished))
    picture = Image.open(io.BytesIO(await workshop.artifacts.get(shown.outputs[0].artifact)))
    assert picture.size == (64, 64)
    assert len(picture.getcolors(4096) or range(4096)) > 100
    finished = news[-1]
    assert isinstance(finished, ExecutionFinished)
    assert finished.fingerprint["backend"] == "portable"
    assert finished.fingerprint["onnxruntime"]


def _portable_command(fd: int) -> tuple[str, ...]:
    """Start the engine and let it fail if anything brings torch in."""
    program = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['engine', sys.argv[1]]; "
        "from services.gpu_worker.engine import main; main()"
    )
    return (sys.executable, "-c", program, str(fd))
