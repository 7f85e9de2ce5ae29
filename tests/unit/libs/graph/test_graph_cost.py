"""How much work a graph is, from its literals alone."""

from __future__ import annotations

from typing import Any

import pytest

from libs.graph.cost import STEPS_UNKNOWN, Work, work
from libs.graph.extent import Extent
from libs.graph.parse import parse
from libs.graph.reach import Reach
from tests.unit.libs.graph.sample import CATALOGUE, changed, comfy, used

MEGAPIXELS = 1024 * 1024 / 1e6


def work_of(prompt: dict[str, Any]) -> Work:
    return work(Reach.of(parse(prompt), CATALOGUE))


def extent_of(prompt: dict[str, Any], node_id: str) -> Extent:
    graph = parse(prompt)
    return Reach.of(graph, CATALOGUE).extents[node_id]


def test_the_example_is_thirty_steps_over_one_megapixel():
    assert work_of(comfy()) == Work(30 * MEGAPIXELS, 1, 30, 1024, 1024)


def test_each_picture_of_the_batch_counts():
    found = work_of(changed("4", batch_size=4, width=512))
    assert found == Work(30 * 4 * MEGAPIXELS / 2, 4, 30, 512, 1024)


def test_each_sampler_counts_with_the_size_it_works_at():
    prompt = changed("6", samples=["9", 0])
    prompt["8"] = used("LatentUpscaleBy", samples=["5", 0], scale_by=2)
    prompt["9"] = used("KSampler", latent_image=["8", 0], steps=10)
    found = work_of(prompt)
    assert found.megapixel_steps == pytest.approx(30 * MEGAPIXELS + 10 * 4 * MEGAPIXELS)
    assert (found.steps, found.width) == (40, 2048)


@pytest.mark.parametrize(
    ("start", "end", "steps"), [(0, 10000, 20), (5, 10000, 15), (0, 12, 12), (5, 12, 7), (9, 3, 0)]
)
def test_a_sampler_that_takes_a_part_counts_that_part(start: int, end: int, steps: int):
    prompt = comfy()
    inputs = prompt["5"]["inputs"]
    part = {**inputs, "steps": 20, "start_at_step": start, "end_at_step": end}
    prompt["5"] = used("KSamplerAdvanced", **part)
    assert work_of(prompt).steps == steps


def test_steps_written_on_the_schedule_count_at_the_sampler():
    prompt = comfy()
    prompt["8"] = used("BasicScheduler", model=["1", 0], steps=12)
    prompt["5"] = used("SamplerCustom", model=["1", 0], sigmas=["8", 0], latent_image=["4", 0])
    assert work_of(prompt) == Work(12 * MEGAPIXELS, 1, 12, 1024, 1024)


def test_what_cannot_be_known_counts_high():
    prompt = changed("5", steps=["9", 0], latent_image=["10", 0])
    prompt["8"] = used("LoadImage", image="x.png")
    prompt["9"] = used("Measure", image=["8", 0])
    prompt["10"] = used("VAEEncode", pixels=["8", 0], vae=["1", 2])
    found = work_of(prompt)
    assert found.megapixel_steps == pytest.approx(STEPS_UNKNOWN * MEGAPIXELS)
    assert not extent_of(prompt, "10").exact


def test_a_graph_without_sampling_is_no_steps_but_still_pictures():
    prompt = {"1": used("LoadImage", image="x.png"), "2": used("SaveImage", images=["1", 0])}
    assert work_of(prompt) == Work(0, 1, 0, 1024, 1024)


def test_a_graph_without_pictures_is_no_work():
    prompt = {"1": used("PrimitiveInt", value=1), "2": used("Show", it=["1", 0])}
    assert work_of(prompt) == Work(0, 0, 0, 0, 0)


def test_every_output_counts_its_pictures():
    prompt = changed("4", batch_size=3)
    prompt["8"] = used("PreviewImage", images=["6", 0])
    assert work_of(prompt).images == 6


def test_a_size_that_only_steers_words_is_no_size():
    prompt = {"1": used("MakeIMAGE"), "2": used("Describe", image=["1", 0], width=64, height=64)}
    prompt["3"] = used("Show", it=["2", 0])
    assert extent_of(prompt, "2").width == 1024
