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
from libs.events.execution import ExecutionFinished, ExecutionStarted, NodeFinished
from libs.weights.exported import ExportedFolder, place_of
from tests.integration.gpu_worker.workshop import Workshop

pytestmark = pytest.mark.timeout(450)
ROOT = Path(__file__).resolve().parents[3]
DEMO = Path(weights.__file__).with_name("demo")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as the portable engine takes it."""
    folder = tmp_path_factory.mktemp("exported")
    name = "hanzo-demo-64.safetensors"
    export(DEMO / name, place_of(folder, name))
    return folder


@pytest.mark.covers("R057", "R060", "R062", "R396")
async def test_the_demo_graph_is_executed_by_a_worker_without_torch(exported):
    graph = json.loads((DEMO / "graph.json").read_text())
    # The upscaler is a network of the torch engine: the picture is saved as it is decoded.
    save = next(key for key, node in graph.items() if node["class_type"] == "SaveImage")
    decode = next(key for key, node in graph.items() if node["class_type"] == "VAEDecode")
    graph[save]["inputs"]["images"] = [decode, 0]
    workshop = Workshop(exported)
    portable = {"engine": "portable", "node_packs": ROOT / "tests/data/node_packs"}
    workshop.settings = workshop.settings.model_copy(update=portable)
    async with workshop.house.scheduler(), workshop.moderation():
        agent = workshop.make("gpu0-a", _portable_command)
        agent.folder = ExportedFolder(exported)
        async with workshop.running(agent):
            await workshop.submit("p1", graph, save)
            end = await workshop.house.ended("p1", 300)
            hello = agent.engine.hello or {}
    assert hello["backend"] == "portable"
    assert "packs" not in hello
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


async def test_another_worker_takes_what_was_dear_to_make_and_gives_the_same_picture(exported):
    graph = json.loads((DEMO / "graph.json").read_text())
    kinds = {node["class_type"]: key for key, node in graph.items()}
    save = kinds["SaveImage"]
    graph[save]["inputs"]["images"] = [kinds["VAEDecode"], 0]
    workshop = Workshop(exported)
    workshop.settings = workshop.settings.model_copy(update={"engine": "portable"})
    async with workshop.house.scheduler(), workshop.moderation():
        for number in (1, 2):
            agent = workshop.make(f"gpu{number}-a", _portable_command)
            agent.folder = ExportedFolder(exported)
            async with workshop.running(agent):
                await workshop.submit(f"p{number}", graph, save)
                assert (await workshop.house.ended(f"p{number}", 300)).outcome == "succeeded"
    first, second = (_started(workshop, f"p{number}") for number in (1, 2))
    assert kinds["KSampler"] not in first.cached
    assert kinds["KSampler"] in second.cached
    assert kinds["CLIPTextEncode"] in second.cached, "nothing above it is needed"
    ones, others = [_pixels(await _artifact(workshop, one)) for one in ("p1", "p2")]
    assert ones == others


def _started(workshop: Workshop, prompt_id: str) -> ExecutionStarted:
    return next(one for one in workshop.news(prompt_id) if isinstance(one, ExecutionStarted))


async def _artifact(workshop: Workshop, prompt_id: str) -> bytes:
    shown = next(one for one in workshop.news(prompt_id) if isinstance(one, NodeFinished))
    return await workshop.artifacts.get(shown.outputs[0].artifact)


def _pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).tobytes()


def _portable_command(fd: int) -> tuple[str, ...]:
    """Start the engine and let it fail if anything brings torch in."""
    program = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['engine', sys.argv[1]]; "
        "from services.gpu_worker.engine import main; main()"
    )
    return (sys.executable, "-c", program, str(fd))
