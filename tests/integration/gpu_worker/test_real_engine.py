"""The real engine child: torch in a process of its own, pictures through agent and bus."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from libs import weights
from libs.core.jsonvalue import JsonObject
from libs.events.execution import ExecutionFailed, ExecutionFinished, NodeFinished
from libs.events.signals import Preview, preview_subject
from libs.weights.folder import builtin_files
from services.gpu_worker.agent import Agent
from services.gpu_worker.child import engine_environment
from services.gpu_worker.files import Stored
from services.gpu_worker.settings import WorkerSettings
from tests.integration.gpu_worker.workshop import USER, Workshop
from tests.integration.scheduler.house import TENANT, until

pytest.importorskip("torch")
# Importing torch and diffusers takes a busy machine a minute, and each test does it anew.
pytestmark = pytest.mark.timeout(450)
DEMO = Path(weights.__file__).with_name("demo")


@asynccontextmanager
async def working(tmp_path: Path) -> AsyncIterator[tuple[Workshop, Agent]]:
    workshop = Workshop(tmp_path)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workshop.house.scheduler())
        await stack.enter_async_context(workshop.moderation())
        agent = await stack.enter_async_context(workshop.worker(real=True))
        agent.folder.builtin = builtin_files(DEMO)
        yield workshop, agent


def red(side: int = 32, prefix: str = "red", color: int = 0xFF0000) -> JsonObject:
    return {
        "8": {
            "class_type": "EmptyImage",
            "inputs": {"width": side, "height": side, "batch_size": 2, "color": color},
        },
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": prefix}},
    }


def shown(workshop: Workshop, prompt_id: str) -> list[NodeFinished]:
    return [event for event in workshop.news(prompt_id) if isinstance(event, NodeFinished)]


async def test_pictures_come_out_with_their_workflow_inside_and_every_prompt_has_its_own(tmp_path):
    async with working(tmp_path) as (workshop, _):
        await workshop.submit("p1", red(), "9")
        await workshop.submit("p2", red(), "9")
        for prompt_id in ("p1", "p2"):
            end = await workshop.house.ended(prompt_id, 200)
            assert (end.outcome, end.attempt) == ("succeeded", 1)
    (first,), (second,) = shown(workshop, "p1"), shown(workshop, "p2")
    names = [output.filename for output in (*first.outputs, *second.outputs)]
    assert names == [f"red_0000{number}_.png" for number in (1, 2, 3, 4)]
    picture = Image.open(io.BytesIO(await workshop.artifacts.get(second.outputs[0].artifact)))
    assert picture.size == (32, 32)
    assert picture.getpixel((5, 5)) == (255, 0, 0)
    assert isinstance(picture.text["prompt"], str)  # type: ignore[attr-defined]
    assert json.loads(picture.text["workflow"]) == {"id": "p2", "nodes": []}  # type: ignore[attr-defined]
    started, _, finished = workshop.news("p2")
    assert started.cached == ("8",)  # type: ignore[attr-defined]
    assert isinstance(finished, ExecutionFinished)
    assert finished.outputs == 2
    assert finished.executed == ("9",)
    assert finished.fingerprint["torch"]


async def test_what_one_profile_made_is_not_taken_by_another(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        await workshop.submit("p1", red(), "9")
        assert (await workshop.house.ended("p1", 200)).outcome == "succeeded"
        agent.settings = agent.settings.model_copy(update={"profile": "fast"})
        await workshop.submit("p2", red(), "9")
        assert (await workshop.house.ended("p2", 200)).outcome == "succeeded"
    started, *_, finished = workshop.news("p2")
    assert started.cached == ()  # type: ignore[attr-defined]
    assert isinstance(finished, ExecutionFinished)
    assert finished.fingerprint["profile"] == "fast"
    assert finished.fingerprint["step_cache"] == "0.08"
    assert finished.fingerprint["deterministic"] == "false"


async def test_an_uploaded_picture_is_opened_and_a_missing_one_is_named(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(buffer, "PNG")
    graph: JsonObject = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "sub/cat.png"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    async with working(tmp_path) as (workshop, _):
        kid, ciphertext = await workshop.vault.seal_bytes(TENANT, USER, buffer.getvalue())
        await workshop.artifacts.put("inputs/t/u1/abc", ciphertext, "application/octet-stream")
        stored = Stored("inputs/t/u1/abc", kid, "digest")
        workshop.shelf.kept[TENANT, USER, "input", "sub/cat.png"] = stored
        await workshop.submit("p1", graph, "9")
        assert (await workshop.house.ended("p1", 200)).outcome == "succeeded"
        workshop.shelf.kept.clear()
        await workshop.submit("p2", graph, "9")
        assert (await workshop.house.ended("p2", 200)).outcome == "failed"
    (event,) = shown(workshop, "p1")
    picture = Image.open(io.BytesIO(await workshop.artifacts.get(event.outputs[0].artifact)))
    assert picture.getpixel((0, 0)) == (1, 2, 3)
    failed = workshop.news("p2")[-1]
    assert isinstance(failed, ExecutionFailed)
    assert failed.exception_type == "NotFound"


async def test_kill_9_of_the_engine_in_the_middle_of_a_sampling_step(tmp_path):
    graph = json.loads((DEMO / "graph.json").read_text())
    graph["sampler"]["inputs"]["steps"] = 200
    async with working(tmp_path) as (workshop, agent):
        first = (await agent.engine.ready())["pid"]
        needs = (
            "checkpoints/hanzo-demo-64.safetensors",
            "upscale/realesr-animevideov3-x4.safetensors",
        )
        await workshop.submit("p1", graph, "picture", needs=needs)
        await until(lambda: "ExecutionStarted" in workshop.kinds("p1"), 200)
        assert isinstance(first, int)
        os.kill(first, signal.SIGKILL)
        end = await workshop.house.ended("p1", 200)
        assert (await agent.engine.ready())["pid"] != first
    assert (end.outcome, end.attempt) == ("succeeded", 2)
    finished = workshop.news("p1")[-1]
    assert isinstance(finished, ExecutionFinished)
    file = DEMO / "hanzo-demo-64.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert finished.fingerprint[f"weights/checkpoints/{file.name}"] == digest
    failed = next(event for event in workshop.news("p1") if isinstance(event, ExecutionFailed))
    assert (failed.attempt, failed.exception_type) == (1, "EngineCrashed")


def test_the_engine_is_started_with_all_that_has_to_be_pinned():
    from libs.diffusion.determinism import pinned_environment

    assert pinned_environment(3).items() <= engine_environment(WorkerSettings(threads=3)).items()


async def test_previews_are_drawn_for_a_client_that_asked_and_may_see_them(tmp_path):
    graph = json.loads((DEMO / "graph.json").read_text())
    async with working(tmp_path) as (workshop, agent):
        shown: list[Preview] = []

        async def hear() -> None:
            async for signal in workshop.house.bus.signals(preview_subject("*", "*")):
                shown.extend([Preview.decode(signal.data)])

        hearing = asyncio.create_task(hear())
        for prompt_id, may_see in (("p1", False), ("p2", True)):
            agent.may_preview = {TENANT: may_see}.__getitem__
            graph["sampler"]["inputs"]["seed"] = int(may_see)
            await workshop.submit(prompt_id, graph, "picture", preview_method="auto")
            assert (await workshop.house.ended(prompt_id, 200)).outcome == "succeeded"
        hearing.cancel()
    assert {preview.prompt_id for preview in shown} == {"p2"}
    assert {preview.node_id for preview in shown} == {"sampler"}
    assert Image.open(io.BytesIO(shown[0].image)).format == "JPEG"
