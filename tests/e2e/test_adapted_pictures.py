"""LoRA, ControlNet and IP-Adapter over HTTP: files that are put into the house become pictures."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.e2e.houses import House, wait_until
from tests.e2e.test_pictures import picture_of
from tests.e2e.watching import Watcher, submit
from tests.unit.libs.diffusion.tiny_adapters import photo, workflow, write_weights


@pytest.fixture(scope="module")
def furnished(shared_house: House) -> Iterator[House]:
    """Put small weights and two photos into the house while these tests need them."""
    models = shared_house.home / "models"
    before = set(models.rglob("*"))
    write_weights(models)
    with shared_house.client() as api:
        for number, name in enumerate(("photo.png", "style.png")):
            data = io.BytesIO()
            photo(number).save(data, "PNG")
            answer = api.post("/upload/image", files={"image": (name, data.getvalue())})
            assert answer.status_code == 200

        def offered() -> bool:
            schema = api.get("/object_info/LoraLoader").json()["LoraLoader"]
            return "pixel_art_v2.safetensors" in str(schema["input"]["required"]["lora_name"])

        wait_until(offered, 60, "the LoRAs are offered")
        yield shared_house
        for path in set(models.rglob("*")) - before:
            if path.is_file():
                path.unlink()
        wait_until(lambda: not offered(), 60, "the LoRAs are not offered any more")


def pixels(house: House, api, graph) -> np.ndarray:
    """Run a graph and return its picture."""
    with Watcher(house) as watcher:
        prompt_id = submit(api, graph, watcher.client_id)
        watcher.until_end(prompt_id)
    entry: Any = api.get(f"/history/{prompt_id}").json()[prompt_id]
    assert entry["status"]["status_str"] == "success", entry["status"]
    return np.asarray(picture_of(api, entry))


@pytest.mark.covers("R013", "R014", "R040", "R163", "R173", "R175", "R181")
def test_all_adapters_in_one_graph_make_the_same_pixels_again(furnished: House, api):
    graph = workflow("everything_in_one")
    first = pixels(furnished, api, graph)
    assert first.shape == (256, 256, 3)
    again = copy.deepcopy(graph)
    # Other names for the files: nothing else may differ, and nothing is cached of the saving.
    again["7"]["inputs"]["filename_prefix"] = "again"
    assert np.array_equal(first, pixels(furnished, api, again))
    for node, changed in (("14", {"weight": 0.0}), ("18", {"strength": 0.0})):
        other = copy.deepcopy(graph)
        other[node]["inputs"] |= changed
        assert not np.array_equal(first, pixels(furnished, api, other)), node


@pytest.mark.covers("R045", "R119", "R160", "R162")
def test_two_loras_are_posted_at_strengths_of_their_own(furnished: House, api):
    graph = workflow("lora_combination")
    both = pixels(furnished, api, graph)
    for node, changed in (
        ("10", {"strength_model": 0.0}),
        ("10", {"strength_clip": 0.0}),
        ("11", {"strength_model": 0.0}),
    ):
        other = copy.deepcopy(graph)
        other[node]["inputs"] |= changed
        assert not np.array_equal(both, pixels(furnished, api, other)), (node, changed)


@pytest.mark.covers("R045")
@pytest.mark.parametrize("name", ["controlnet_edges", "two_passes"])
def test_a_workflow_of_the_docs_is_posted_and_makes_a_picture(furnished: House, api, name):
    assert pixels(furnished, api, workflow(name)).std() > 1
