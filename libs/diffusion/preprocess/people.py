"""Finding people: where they are, and the points of their bodies (BlazePose's two networks).

The first network sees the whole picture and says where somebody's hips are and how far the body
reaches; the second sees that part, turned upright, and finds the points. All places are in
pixels of the picture unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from libs.diffusion.preprocess.canvas import Floats
from libs.diffusion.preprocess.program import Program

# The detector sees a square of this side; its answers lie on grids of these strides.
SEEN_PIXELS = 224
STRIDES = (8, 16, 32, 32, 32)
ANSWERS_PER_CELL = 2
CERTAINTY_MIN = 0.5
OVERLAP_MAX = 0.3
CERTAINTY_LOGITS_MAX = 100.0
# A person's box, two of its four marks: the middle of the hips and how far the body reaches.
BOX, HIPS, REACH = slice(0, 4), slice(4, 6), slice(6, 8)
MARKS = 4
CROP_PIXELS = 256
CROP_WIDER = 1.25
POINTS, NUMBERS_PER_POINT = 39, 5
POINTS_OF_BODY = 33
# A point is moved to the middle of what its heat map shows within so many cells of it.
HEAT_REACH = 3
HEAT_MIN = 0.5
PEOPLE_MAX = 16
# The same person found twice: the points lie closer together than this part of their spread.
SAME_PERSON = 0.15


@dataclass(frozen=True)
class Region:
    """A square that holds a person: its middle, its side, and how far it is turned."""

    x: float
    y: float
    side: float
    turned: float

    @property
    def turn(self) -> Floats:
        """Half of a row and half of a column of the square, as steps in the picture."""
        across, down = math.cos(self.turned), math.sin(self.turned)
        return np.array([[across, down], [-down, across]], np.float32) * (self.side / 2)

    def placed(self, inside: Floats) -> Floats:
        """Return places in the square, 0 to 1, as places in the picture."""
        places: Floats = (inside * 2 - 1) @ self.turn + np.array([self.x, self.y], np.float32)
        return places


@dataclass(frozen=True)
class Person:
    """Points [33, 2] of a body, and how surely each can be seen, 0 to 1."""

    places: Floats
    seen: Floats
    certainty: float


@torch.inference_mode()
def find_people(pixels: Tensor, detector: Program, marker: Program) -> list[Person]:
    """Return everybody in a picture [3, height, width], the surest first."""
    found: list[Person] = []
    for region in _regions(pixels, detector):
        person = _person(pixels, region, marker)
        if person is not None and not any(_same(person, other) for other in found):
            found.append(person)
        if len(found) == PEOPLE_MAX:
            break
    return sorted(found, key=lambda person: -person.certainty)


def _regions(pixels: Tensor, detector: Program) -> Iterator[Region]:
    height, width = pixels.shape[-2:]
    whole = Region(x=width / 2, y=height / 2, side=max(height, width), turned=0.0)
    seen = _cropped(pixels, whole, SEEN_PIXELS, "zeros")[None] * 2.0 - 1.0
    boxes, logits = (answer.cpu() for answer in detector(seen))
    clipped = logits[0, :, 0].clamp(-CERTAINTY_LOGITS_MAX, CERTAINTY_LOGITS_MAX)
    certain = clipped.sigmoid()
    sure = certain >= CERTAINTY_MIN
    answers: Floats = (boxes[0] + _anchors())[sure].numpy()
    # A box is given by its middle and its size, and only the middle moves with the cell.
    for answer in _merged(answers, certain[sure].numpy()):
        hips, reach = (whole.placed(answer[part] / SEEN_PIXELS) for part in (HIPS, REACH))
        across, down = (reach - hips).tolist()
        yield Region(
            x=float(hips[0]),
            y=float(hips[1]),
            side=2 * math.hypot(across, down) * CROP_WIDER,
            turned=math.pi / 2 - math.atan2(-down, across),
        )


def _anchors() -> Tensor:
    """Return what is added to each answer: the middle of its cell, to its box and its marks."""
    rows = []
    strides = list(STRIDES)
    while strides:
        stride = strides[0]
        layers = strides.count(stride)
        strides = strides[layers:]
        middles = (torch.arange(SEEN_PIXELS // stride) + 0.5) * stride
        y, x = torch.meshgrid(middles, middles, indexing="ij")
        cells = torch.stack([x, y], -1).reshape(-1, 2)
        rows.append(cells.repeat_interleave(ANSWERS_PER_CELL * layers, 0))
    middle = torch.cat(rows)
    size = torch.zeros_like(middle)
    return torch.cat([middle, size, *[middle] * MARKS], 1)


def _merged(answers: Floats, certainty: Floats) -> Iterator[Floats]:
    """Return one answer for each heap of overlapping ones: their mean, weighed by certainty."""
    left = np.argsort(-certainty, kind="stable")
    while left.size:
        overlapping = _overlap(answers[left[0]], answers[left]) > OVERLAP_MAX
        # A box without area overlaps nothing, not even itself.
        overlapping[0] = True
        heap = left[overlapping]
        weight = certainty[heap][:, None]
        yield (answers[heap] * weight).sum(0) / weight.sum()
        left = left[~overlapping]


def _overlap(one: Floats, many: Floats) -> Floats:
    """Return the area that boxes share with one of them, over the area they cover together."""
    low, high = _sides(many)
    own_low, own_high = _sides(one[None])
    shared = np.clip(np.minimum(high, own_high) - np.maximum(low, own_low), 0, None).prod(-1)
    areas = (high - low).prod(-1) + (own_high - own_low).prod(-1) - shared
    overlap: Floats = shared / np.maximum(areas, 1e-6)
    return overlap


def _sides(answers: Floats) -> tuple[Floats, Floats]:
    middle, size = answers[:, BOX][:, :2], answers[:, BOX][:, 2:]
    return middle - size / 2, middle + size / 2


def _person(pixels: Tensor, region: Region, marker: Program) -> Person | None:
    seen = _cropped(pixels, region, CROP_PIXELS, "border")[None]
    numbers, presence, heat = (answer.cpu() for answer in marker(seen))
    certainty = float(presence)
    if certainty < CERTAINTY_MIN:
        return None
    points = numbers.reshape(POINTS, NUMBERS_PER_POINT)[:POINTS_OF_BODY]
    places = points[:, :2].numpy() / CROP_PIXELS
    maps = heat[0, :POINTS_OF_BODY].sigmoid().numpy()
    inside = np.stack([_refined(*given) for given in zip(places, maps, strict=True)])
    visible, present = points[:, 3].sigmoid(), points[:, 4].sigmoid()
    return Person(region.placed(inside), torch.minimum(visible, present).numpy(), certainty)


def _refined(place: Floats, heat: Floats) -> Floats:
    """Return a place, 0 to 1, moved to the middle of the warm cells around it."""
    cells = np.array(heat.shape[::-1])
    column, row = (place * cells).astype(int)
    if not (0 <= column < cells[0] and 0 <= row < cells[1]):
        return place
    rows = slice(max(0, row - HEAT_REACH), row + HEAT_REACH + 1)
    columns = slice(max(0, column - HEAT_REACH), column + HEAT_REACH + 1)
    warm = heat[rows, columns]
    if warm.max() < HEAT_MIN:
        return place
    down, across = np.mgrid[rows, columns][:, : warm.shape[0], : warm.shape[1]]
    middle = np.array([(across * warm).sum(), (down * warm).sum()]) / warm.sum()
    refined: Floats = (middle / cells).astype(np.float32)
    return refined


def _cropped(pixels: Tensor, region: Region, side: int, outside: str) -> Tensor:
    """Return the region upright, `side` pixels wide.

    The first pixel lies on the region's corner, not half a pixel inside; and outside of the
    picture the first network sees black, the second the border drawn out: so they were used.
    """
    steps = torch.arange(side, device=pixels.device) / side * 2 - 1
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    turn = pixels.new_tensor(region.turn)
    middle = pixels.new_tensor([region.x, region.y])
    places = torch.stack([across, down], -1) @ turn + middle
    size = pixels.new_tensor([pixels.shape[-1], pixels.shape[-2]])
    grid = (places + 0.5) * 2 / size - 1
    return functional.grid_sample(
        pixels[None], grid[None], padding_mode=outside, align_corners=False
    )[0]


def _same(one: Person, other: Person) -> bool:
    spread = np.ptp(other.places, axis=0).max()
    apart = np.linalg.norm(one.places - other.places, axis=1).mean()
    return bool(apart < SAME_PERSON * max(spread, 1.0))
