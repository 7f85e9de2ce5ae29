"""The real engine child with node packs: told of in its hello, executed, their files moderated."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from libs.core.jsonvalue import JsonObject
from libs.events.execution import NodeFinished
from services.gpu_worker.packs import packs_of, types_of
from tests.integration.gpu_worker.workshop import Workshop
from tests.unit.services.gpu_worker.test_packed import FOLDER

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(450)

GRAPH: JsonObject = {
    "8": {
        "class_type": "EmptyImage",
        "inputs": {"width": 32, "height": 16, "batch_size": 1, "color": 0xFF0000},
    },
    "7": {
        "class_type": "BrightInvert",
        "inputs": {"image": ["8", 0], "strength": 1.0, "mode": "half", "sampler": "euler"},
    },
    "9": {"class_type": "BrightSave", "inputs": {"images": ["7", 0], "prefix": "pack/shot"}},
}


async def test_a_pack_s_nodes_are_executed_and_what_they_save_is_kept_like_all_else(tmp_path: Path):
    workshop = Workshop(tmp_path)
    workshop.settings = workshop.settings.model_copy(update={"node_packs": FOLDER})
    async with workshop.house.scheduler(), workshop.moderation(), workshop.worker(real=True) as it:
        await workshop.submit("p1", GRAPH, "9")
        end = await workshop.house.ended("p1", 200)
        assert end.outcome == "succeeded", workshop.news("p1")
        hello = it.engine.hello or {}
        schemas = json.loads(it.engine.blobs[0])
    assert {pack.name: bool(pack.error) for pack in packs_of(hello)} == {
        "bright_pack": False,
        "deep_pack": True,
        "half_pack": True,
        "leaving_pack": True,
        "lost_pack": True,
        "word_pack": False,
    }
    assert {one["type"] for one in schemas} == set(types_of(hello))
    (shown,) = [event for event in workshop.news("p1") if isinstance(event, NodeFinished)]
    (output,) = shown.outputs
    assert (output.filename, output.subfolder) == ("shot_00001_.png", "pack")
    picture = Image.open(io.BytesIO(await workshop.artifacts.get(output.artifact)))
    assert picture.size == (16, 8)
    assert picture.getpixel((2, 2)) == (0, 255, 255)
