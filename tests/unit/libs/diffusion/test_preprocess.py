"""Control pictures, held against what the libraries of the field make of the same photograph.

The photograph is NASA's portrait of Eileen Collins (public domain), 256 pixels wide. Beside it lie
the answers of OpenCV 5.0.0, Kornia 0.8.1 and of the edge network with its original weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from libs.core.errors import Refused
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.preprocess import people, skeleton, strokes
from libs.diffusion.preprocess.canny import canny
from libs.diffusion.preprocess.hed import widened
from libs.diffusion.preprocess.people import Person
from libs.diffusion.preprocess.preprocessors import Preprocessors
from libs.diffusion.preprocess.program import Program, read_program
from libs.diffusion.values import Mask, Picture
from tests.unit.libs.diffusion import tiny
from training.edges import shortened

DATA = Path(__file__).parents[3].parent / "tests/data/preprocess"
# The first 17 of MediaPipe 0.10.21's points for the photograph; the arms leave the picture.
MEDIAPIPE = [
    [111.4, 66.0], [119.7, 56.8], [123.4, 57.4], [126.9, 58.0], [107.5, 54.4], [102.9, 53.3],
    [98.8, 52.4], [131.4, 61.7], [94.3, 54.6], [116.5, 77.6], [103.0, 74.8], [152.3, 126.3],
    [53.2, 118.0], [156.8, 191.1], [32.0, 206.3], [153.4, 245.1], [65.9, 243.5],
]  # fmt: skip


def golden(name: str) -> Any:
    return np.asarray(Image.open(DATA / f"{name}.png").convert("L")).astype(int)


def picture(width: int = 256, height: int = 256, count: int = 1) -> Picture:
    image = Image.open(DATA / "astronaut.png").convert("RGB").resize((width, height))
    pixels = torch.from_numpy(np.array(image)).to(torch.float32) / 255.0
    return Picture(pixels.expand(count, -1, -1, -1).clone())


def grey(made: Picture) -> Any:
    frames = made.frames()
    assert np.array_equal(frames[0][..., 0], frames[0][..., 2])
    return frames[0][..., 0].astype(int)


@pytest.fixture(scope="module")
def make() -> Preprocessors:
    return tiny.loader().preprocessors


@pytest.mark.covers("R164")
def test_canny_draws_what_opencv_draws(make):
    edges = make.canny(picture(), low=100, high=200, resolution=256, on_step=tiny.no_step)
    assert np.array_equal(grey(edges), golden("canny_opencv"))
    swapped = canny(picture().frames()[0], 200, 100)
    assert np.array_equal(swapped, golden("canny_opencv"))


@pytest.mark.covers("R164")
def test_graded_canny_draws_what_kornia_draws(make):
    edges = make.canny_graded(picture(), low=0.4, high=0.8)
    assert np.array_equal(grey(edges), golden("canny_kornia"))
    assert make.canny_graded(picture(1, 2), low=0.4, high=0.8).pixels.sum() == 0


@pytest.mark.covers("R168")
def test_a_scribble_keeps_the_dark_strokes_of_a_drawing(make):
    paper = torch.ones(1, 64, 64, 3)
    paper[:, 20:30] = torch.tensor([0.3, 0.9, 0.9])
    drawn = make.scribble(Picture(paper), resolution=64, on_step=tiny.no_step)
    rows = grey(drawn).mean(1)
    assert (rows[20:30] == 255).all()
    assert rows.sum() == 10 * 255


@pytest.mark.covers("R168")
def test_a_scribble_of_a_photograph_is_the_one_of_the_field(make):
    given = {"threshold": 32, "resolution": 256, "on_step": tiny.no_step}
    drawn = make.scribble_photograph(picture(), **given)
    assert (grey(drawn) != golden("xdog_opencv")).mean() < 0.001
    fewer = make.scribble_photograph(picture(), **(given | {"threshold": 64}))
    assert grey(fewer).sum() < grey(drawn).sum()


@pytest.mark.covers("R167", "R168")
def test_soft_edges_are_those_of_the_original_weights(make):
    given = {"resolution": 256, "on_step": tiny.no_step}
    edges = grey(make.soft_edges(picture(), safe=False, strokes_only=False, **given))
    error = np.abs(edges - golden("hed_original"))
    assert error.mean() < 1.2, "the weights are shortened to 6 bits, and the bytes are cut off"
    assert error.max() < 12
    safe = grey(make.soft_edges(picture(), safe=True, strokes_only=False, **given))
    assert set(np.unique(safe)) <= {0, 127, 255}
    scribble = strokes.of_edges(edges.astype(np.uint8))
    assert set(np.unique(scribble)) == {0, 255}


@pytest.mark.covers("R169")
def test_a_tile_loses_its_details_and_keeps_its_size(make):
    coarse = make.tile(picture(), halvings=3, resolution=256)
    theirs = np.asarray(Image.open(DATA / "tile_opencv.png")).astype(int)
    assert np.abs(coarse.frames()[0][::4, ::4].astype(int) - theirs).mean() < 1.0
    odd = make.tile(picture(70, 90), halvings=10, resolution=70)
    assert (odd.width, odd.height) == (70, 90)
    assert float(odd.pixels.std((1, 2)).max()) < 0.02, "one pixel is left of it"


@pytest.mark.covers("R170")
def test_a_hole_is_marked_with_minus_one(make):
    values = torch.zeros(1, 32, 32)
    values[:, :16] = 1.0
    image = picture(count=2)
    holed = make.inpaint(image, Mask(values), black=False)
    assert (holed.pixels[:, :127] == -1.0).all()
    assert torch.equal(holed.pixels[:, 129:], image.pixels[:, 129:])
    black = make.inpaint(image, Mask(values), black=True)
    assert (black.pixels[:, :127] == 0.0).all()
    # Shown or saved, a hole is black; inside the graph it stays what ControlNets know.
    assert holed.frames()[0][0].max() == 0


@pytest.mark.covers("R167")
def test_the_points_of_a_body_are_those_that_mediapipe_finds(make):
    pixels = picture().pixels[0].movedim(-1, 0)
    detector, marker = (
        make._shipped(name, read_program).get() for name in ("pose-detection", "pose-landmarks")
    )
    (person,) = people.find_people(pixels, detector, marker)
    apart = np.linalg.norm(person.places[: len(MEDIAPIPE)] - np.array(MEDIAPIPE), axis=1)
    assert apart[:11].mean() < 1.0, "of the face"
    assert apart[11:13].max() < 3.0, "of the shoulders"
    assert person.certainty > 0.9
    assert (person.seen[25:] < 0.2).all(), "the legs are not in the picture"
    nobody = torch.full((3, 64, 64), 0.5)
    assert people.find_people(nobody, detector, marker) == []


@pytest.mark.covers("R167")
def test_everybody_in_a_picture_gets_a_skeleton(make):
    one = picture(192, 192)
    sky = one.pixels[:, :1, :1].expand(-1, 192, 96, -1)
    two = Picture(torch.cat([one.pixels, sky, one.pixels.flip(2)], 2))
    shown = make.poses(two, resolution=192, on_step=tiny.no_step)
    assert (shown.width, shown.height) == (two.width, two.height)
    pixels = shown.frames()[0]
    noses = (pixels == np.array(skeleton.COLOURS[0], np.uint8)).all(-1)
    assert noses[:, :192].any()
    assert noses[:, 288:].any()


def test_a_skeleton_shows_what_is_seen_alone_and_never_leaves_the_canvas():
    places = np.full((33, 2), 500.0, np.float32)
    places[[11, 12]] = [[40, 20], [20, 20]]
    seen = np.zeros(33, np.float32)
    seen[[11, 12]] = 0.9
    canvas = skeleton.draw([Person(places, seen, 1.0)], 64, 64)
    colours = {tuple(int(part) for part in pixel) for pixel in canvas.reshape(-1, 3)}
    expected: set[tuple[int, ...]] = {(0, 0, 0), *(skeleton.COLOURS[point] for point in (1, 2, 5))}
    expected |= {tuple(int(part * 0.6) for part in skeleton.COLOURS[limb]) for limb in (0, 1)}
    assert colours == expected
    outside = Person(places, np.ones(33, np.float32), 1.0)
    assert skeleton.draw([outside], 64, 64).shape == (64, 64, 3)


def test_the_shorter_side_becomes_the_resolution_and_each_picture_is_told(make):
    told: list[tuple[int, int]] = []
    given = picture(128, 96, count=2)
    edges = make.canny(
        given, low=9, high=10, resolution=64, on_step=lambda *step: told.append(step[:2])
    )
    assert (edges.count, edges.height, edges.width) == (2, 64, 85)
    assert told == [(1, 2), (2, 2)]
    assert make.tile(given, halvings=1, resolution=192).width == 256


def test_shortened_weights_are_widened_again():
    torch.manual_seed(1)
    weight = torch.randn(256, 96, 3, 3)
    whole, scale = shortened(weight)
    assert whole.abs().max() <= 31
    again = widened({"a.weight": whole, "a.weight.scale": scale.float(), "a.bias": scale[0]})
    assert again.keys() == {"a.weight", "a.bias"}
    assert (again["a.weight"] - weight).abs().mean() < 0.04 * weight.abs().mean()
    with pytest.raises(Refused, match="do not fit their scales"):
        widened({"a.weight": whole, "a.weight.scale": scale[:3]})


def test_a_program_takes_its_steps_and_forgets_what_nobody_reads():
    steps: Any = [
        {"do": "pad", "pad": [1, 1, 1, 1], "of": ["input"], "to": "a"},
        {"do": "pool", "window": [2, 2], "stride": [2, 2], "of": ["a"], "to": "b"},
        {"do": "add", "act": "relu6", "of": ["b", "b"], "to": "c"},
        {"do": "resize", "size": [6, 6], "of": ["c"], "to": "d"},
        {"do": "spread", "block": 2, "of": ["d"], "to": "e"},
        {"do": "flatten", "shape": [144, 1], "of": ["e"], "to": "f"},
        {"do": "join", "axis": 1, "of": ["f", "f"], "to": "g"},
        {"do": "sigmoid", "of": ["g"], "to": "h"},
    ]
    program = Program(steps, ["h"], {})
    given = torch.arange(64.0).reshape(1, 4, 4, 4)
    (made,) = program(given)
    assert made.shape == (1, 288, 1)
    # The block's place is the slower index of the channels: each row of it comes from one.
    corner = torch.nn.functional.pad(given, [1] * 4)
    pooled = (torch.nn.functional.max_pool2d(corner, 2) * 2).clamp(0, 6)
    large = torch.nn.functional.interpolate(pooled, (6, 6), mode="bilinear")
    assert torch.allclose(made[0, :2, 0], large[0, :2, 0, 0].sigmoid())


def test_a_file_without_steps_is_no_program(tmp_path):
    path = tiny.written(tmp_path / "a.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(Refused, match="holds no steps"):
        read_program(WeightsFile.open(path))
