"""The example workflows for videos, from the models' files to the video's."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image, ImageSequence

from libs.graph.check import check
from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.media.reading import read_film
from libs.nodes.context import Loader
from libs.nodes.local import LocalContext
from libs.nodes.registry import load, schemas
from services.gpu_worker.executor import Executor
from services.gpu_worker.results import ResultMemory
from tests.unit.libs.diffusion import tiny, tiny_video
from tests.unit.silent import Silent

EXAMPLES = Path(__file__).parents[4] / "libs/nodes/examples"
FRAMES = {
    "svd_image_to_video": 14,
    "animatediff_text_to_video": 16,
    "animatediff_image_to_video": 16,
    "cogvideox_text_to_video": 9,
    "cogvideox_image_to_video": 9,
}


def example(name: str, dialect: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.{dialect}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """Return a folder with every file that the examples name, and few numbers in each."""
    root: Path = tmp_path_factory.mktemp("videos")
    models = root / "models"
    tiny.written(models / "checkpoints/svd.safetensors", tiny_video.svd())
    tiny.written(models / "checkpoints/sd15.safetensors", tiny.sd1())
    motion = tiny_video.first_motion_names(tiny_video.motion_network())
    tiny.written(models / "motion/mm_sd_v15_v2.safetensors", motion)
    cog, text, vae = tiny_video.write_cogvideo(models)
    cog.rename(cog.parent / "cogvideox_2b.safetensors")
    text.rename(text.parent / "t5xxl_fp16.safetensors")
    vae.rename(vae.parent / "cogvideox_vae.safetensors")
    beginning = tiny_video.cogvideo({**tiny_video.COGVIDEO, "in_channels": 32})
    path = models / "diffusion_models/cogvideox_5b_i2v.safetensors"
    tiny.written(path, beginning.state_dict(), torch.float32)
    (root / "input").mkdir()
    Image.linear_gradient("L").resize((80, 60)).convert("RGB").save(root / "input/start.png")
    return root


def shorter(graph: Any) -> Any:
    """Return the example small and with few steps, and nothing else changed."""
    for node in graph.get("nodes", graph).values():
        inputs = node["inputs"]
        inputs |= {name: 32 for name in ("width", "height") if name in inputs}
        inputs |= {"steps": 2} if "steps" in inputs else {}
        inputs |= {"length": 9} if inputs.get("length") == 49 else {}
    return graph


def video(root: Path, graph: Any) -> Any:
    """Execute a graph and return the file of its video."""
    parsed = parse(graph)
    outputs = [one for one, node in parsed.nodes.items() if "Save" in node.type]
    loader = cast("Loader", tiny.loader())
    executed = Executor(load(), ResultMemory(2**26)).execute(
        parsed,
        plan(parsed, Catalogue(schemas()), outputs),
        lambda node_id: LocalContext(
            root=root, loader=loader, node_id=node_id, prompt=graph, hip_workflow=None
        ),
        Silent(),
    )
    (saved,) = cast("Any", executed.ui[outputs[0]])["images"]
    return (root / saved["type"] / saved["subfolder"] / saved["filename"]).read_bytes()


@pytest.mark.parametrize("name", FRAMES)
def test_an_example_says_the_same_in_both_dialects_and_is_valid(name):
    comfy, hip = (parse(example(name, dialect)) for dialect in ("comfy", "hip35"))
    files = {
        "checkpoints": ("svd.safetensors", "sd15.safetensors"),
        "motion": ("mm_sd_v15_v2.safetensors",),
        "diffusion_models": ("cogvideox_2b.safetensors", "cogvideox_5b_i2v.safetensors"),
        "text_encoders": ("t5xxl_fp16.safetensors",),
        "vae": ("cogvideox_vae.safetensors",),
        "input": ("start.png",),
    }
    checked = [check(graph, Catalogue(schemas(), files)) for graph in (comfy, hip)]
    assert [one.node_errors for one in checked] == [{}, {}]
    assert checked[0].graph.nodes == checked[1].graph.nodes


@pytest.mark.covers("R002", "R138", "R142", "R146")
@pytest.mark.parametrize("name", FRAMES)
def test_an_example_makes_a_video(house, name):
    shown = Image.open(io.BytesIO(video(house, shorter(example(name, "comfy")))))
    assert shown.format == "WEBP"
    assert getattr(shown, "n_frames", 1) == FRAMES[name]
    assert shown.size == (32, 32)
    frames = [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(shown)]
    assert len(set(frames)) > 1


@pytest.mark.covers("R002")
def test_the_frames_of_a_picture_make_a_film_that_plays(house):
    graph = shorter(example("svd_image_to_video", "comfy"))
    frames = graph["7"]["inputs"]["images"]
    graph["7"] = {
        "class_type": "HanzoSaveVideo",
        "inputs": {"images": frames, "filename_prefix": "film", "codec": "h264", "fps": 8.0},
    }
    film = read_film(video(house, graph))
    assert (len(film.frames), film.fps) == (14, 8.0)
    assert film.frames[0].shape == (32, 32, 3)
