"""Solids out of texts and pictures, by Shap-E's own classes with few random weights."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import trimesh
from diffusers import HeunDiscreteScheduler, ShapEImg2ImgPipeline
from PIL import Image

from libs.core.errors import Refused
from libs.diffusion.mesh.walk import levels_of, step_of_training
from libs.diffusion.values import Picture
from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.nodes.context import Loader
from libs.nodes.local import LocalContext
from libs.nodes.registry import load, schemas
from services.gpu_worker.executor import Executor
from services.gpu_worker.results import ResultMemory
from tests.unit.libs.diffusion import solids, tiny
from tests.unit.silent import Silent

GIVEN: dict[str, Any] = {"seed": 3, "steps": 4, "guidance": 3.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        kind: solids.written(root / "shap_e" / kind, solids.parts_of(kind))
        for kind in ("text", "picture")
    }


def picture(seed: int = 1, count: int = 1) -> Picture:
    torch.manual_seed(seed)
    return Picture(torch.rand(count, 40, 32, 3))


@pytest.mark.covers("R003")
def test_what_is_dreamt_up_is_what_the_published_sampler_dreams_up(folders):
    model = tiny.loader().shap_e(folders["picture"])
    wanted = model.wanted_by_picture(picture().pixels)
    ours = model.made(wanted, **GIVEN, on_step=tiny.no_step)

    parts = solids.parts_of("picture")
    pipeline = ShapEImg2ImgPipeline(
        **parts, image_processor=None, scheduler=HeunDiscreteScheduler(**solids.SCHEDULER)
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline._encode_image = lambda *_: torch.cat([torch.zeros_like(wanted), wanted])
    theirs = pipeline(
        picture().pixels.movedim(-1, 1), num_inference_steps=4, guidance_scale=3.0,
        generator=torch.Generator().manual_seed(3), output_type="latent",
    ).images  # fmt: skip
    assert ours.std() > 0.1
    assert torch.allclose(ours, theirs, atol=5e-3)


def test_levels_and_steps_are_those_of_the_published_scheduler():
    scheduler = HeunDiscreteScheduler(**solids.SCHEDULER)
    scheduler.set_timesteps(6)
    levels = levels_of(6)
    theirs = scheduler.sigmas.tolist()
    assert levels == pytest.approx([theirs[0], *theirs[1::2]], rel=1e-3)
    steps = [step_of_training(level) for level in levels[:-1]]
    times = scheduler.timesteps.tolist()
    assert steps == pytest.approx([times[0], *times[1::2]], abs=0.05)


@pytest.mark.covers("R003")
def test_each_input_changes_the_solid_and_the_same_inputs_do_not(folders):
    model = tiny.loader().shap_e(folders["text"])

    def glb(text: str = "a shark", cells: int = 16, **changed: Any) -> bytes:
        made = model.mesh_of_text(
            text, cells=cells, on_step=tiny.no_step, **(GIVEN | changed)
        ).to_glb({})
        assert len(made) == 1
        return made[0]

    plain = glb()
    assert glb() == plain
    for changed in (
        {"text": "a chair"}, {"seed": 4}, {"steps": 5}, {"guidance": 1.0}, {"cells": 24},
    ):  # fmt: skip
        assert glb(**cast("Any", changed)) != plain, changed


def test_what_is_up_for_the_model_is_up_in_the_file(folders):
    model = tiny.loader().shap_e(folders["text"])
    made = model.made(model.wanted_by_text("a"), **GIVEN, on_step=tiny.no_step)
    solid = model.shaped(made, 16)
    renderer = model._resident("shap_e_renderer", model._renderer).get()
    theirs = renderer.decode_to_mesh(made, "cpu", grid_size=16).verts.numpy()
    assert np.allclose(solid.places[:, 1], theirs[:, 2])
    assert np.allclose(solid.places[:, 2], -theirs[:, 1])
    assert np.allclose(solid.places[:, 0], theirs[:, 0])


def test_every_picture_becomes_a_solid_of_its_own(folders):
    model = tiny.loader().shap_e(folders["picture"])
    told: list[tuple[int, int]] = []
    mesh = model.mesh_of_picture(
        picture(count=2), cells=16, on_step=lambda *step: told.append(step[:2]), **GIVEN
    )
    first, second = mesh.to_glb({})
    assert first != second
    assert told == [(number, 8) for number in range(1, 9)]
    alone = Picture(picture(count=2).pixels[1:])
    again = model.mesh_of_picture(alone, cells=16, on_step=tiny.no_step, **GIVEN)
    assert again.to_glb({}) == [second], "no picture changes its neighbour's solid"


def test_a_model_is_not_asked_for_what_it_does_not_know(folders):
    loader = tiny.loader()
    given = {**GIVEN, "cells": 16, "on_step": tiny.no_step}
    with pytest.raises(Refused, match="use ShapEImageToMesh"):
        loader.shap_e(folders["picture"]).mesh_of_text("a shark", **given)
    with pytest.raises(Refused, match="use ShapETextToMesh"):
        loader.shap_e(folders["text"]).mesh_of_picture(picture(), **given)


def test_a_file_outside_of_a_folder_of_diffusers_is_refused(tmp_path):
    path = tiny.written(tmp_path / "a/b/prior.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(Refused, match="from a folder as diffusers writes it"):
        tiny.loader().shap_e(path)


@pytest.mark.covers("R003")
@pytest.mark.parametrize("kind", ["text", "picture"])
def test_a_graph_makes_a_glb_file(tmp_path, folders, kind):
    (tmp_path / "models").symlink_to(folders[kind].parents[1])
    (tmp_path / "input").mkdir()
    Image.fromarray(picture().frames()[0]).save(tmp_path / "input/thing.png")
    made: dict[str, Any] = {
        "text": {"class_type": "ShapETextToMesh", "inputs": {"text": "a shark"}},
        "picture": {"class_type": "ShapEImageToMesh", "inputs": {"image": ["1", 0]}},
    }[kind]
    made["inputs"] |= {"shap_e": ["2", 0], "seed": 3, "steps": 3, "resolution": 24}
    graph: Any = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "thing.png"}},
        "2": {"class_type": "ShapELoader", "inputs": {"model_name": kind}},
        "3": made,
        "4": {"class_type": "SaveGLB", "inputs": {"mesh": ["3", 0]}},
    }
    parsed = parse(graph)
    loader = cast("Loader", tiny.loader())
    executed = Executor(load(), ResultMemory(2**26)).execute(
        parsed,
        plan(parsed, Catalogue(schemas()), ["4"]),
        lambda node_id: LocalContext(
            root=tmp_path, loader=loader, node_id=node_id, prompt=cast("Any", graph)
        ),
        Silent(),
    )
    assert executed.ui["4"] == {
        "3d": [{"filename": "ComfyUI_00001_.glb", "subfolder": "mesh", "type": "output"}]
    }
    data = (tmp_path / "output/mesh/ComfyUI_00001_.glb").read_bytes()
    (mesh,) = trimesh.load(io.BytesIO(data), file_type="glb", process=False).geometry.values()
    assert len(mesh.faces) > 10
    assert closed(mesh.faces), "what lies at the border of the grid is closed too"
    assert np.isfinite(mesh.vertices).all()
    assert np.asarray(mesh.visual.vertex_attributes["color"]).std(0).max() > 0


def closed(faces: Any) -> bool:
    """Say whether each side of a triangle is passed as often in one direction as in the other."""
    sides = Counter(
        (int(face[corner]), int(face[(corner + 1) % 3])) for face in faces for corner in range(3)
    )
    return all(sides[there, here] == count for (here, there), count in sides.items())
