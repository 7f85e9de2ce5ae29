"""Meshes are judged as they look from all sides, drawn from the bytes that would be released."""

from __future__ import annotations

import numpy as np
import pytest

from libs.events.moderation import OutputBlocked, OutputReleased
from libs.glb import MIME, Solid, write_glb
from services.moderation import turntable as drawing
from services.moderation.classifiers import OpenNsfw
from services.moderation.turntable import views_of
from tests.unit.house import running
from tests.unit.services.moderation.test_handlers import RELEASED, Place, SaysNude


def box(colour: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> Solid:
    """Return a box, twice as tall as wide, whose side towards z is of another colour."""
    places: list[list[float]] = []
    triangles: list[list[int]] = []
    colours: list[tuple[float, float, float]] = []
    for axis in range(3):
        for side in (-1.0, 1.0):
            start = len(places)
            for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                corner = [0.0, 0.0, 0.0]
                corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = side, u, v
                places.append([corner[0], 2 * corner[1], corner[2]])
                colours.append((0.0, 0.0, 1.0) if axis == 2 and side > 0 else colour)
            triangles += [[start, start + 1, start + 2], [start, start + 2, start + 3]]
    return Solid(
        np.array(places, np.float32), np.array(colours, np.float32), np.array(triangles, np.uint32)
    )


def test_a_solid_is_seen_from_all_sides_without_holes():
    views = [np.asarray(view).astype(int) for view in views_of(box())]
    assert len(views) == 8
    blue = [bool(((v[..., 2] > 100) & (v[..., 0] < 60)).mean() > 0.05) for v in views]
    assert blue == [True, False, False, False] * 2, "one side of it is blue"
    for view in views:
        solid = (view != drawing.BACKGROUND).any(-1)
        rows = np.flatnonzero(solid.any(1))
        assert rows[0] > 0
        assert rows[-1] < len(solid) - 1, "all of it is in the picture"
        for row in rows[2:-2]:
            columns = np.flatnonzero(solid[row])
            assert len(columns) == columns[-1] - columns[0] + 1, "no hole shows what is behind"


def test_tall_things_stand_upright():
    front = np.asarray(views_of(box())[0])
    solid = (front != drawing.BACKGROUND).any(-1)
    assert np.ptp(np.flatnonzero(solid.any(1))) > 1.4 * np.ptp(np.flatnonzero(solid.any(0)))


def test_what_is_too_much_to_draw_is_drawn_with_holes_and_not_for_ever(monkeypatch):
    monkeypatch.setattr(drawing, "DOTS_MAX", 100)
    corners, colours = drawing._dots(box())
    assert len(corners) == len(colours) <= 100


@pytest.mark.covers("R003", "R339", "R340")
async def test_a_harmless_mesh_is_looked_at_and_released_byte_by_byte():
    mesh = write_glb(box())
    place = Place(OpenNsfw(1))
    async with running(place.bus, place.service):
        await place.submit("a box")
        await place.finish(mesh, MIME)
        await place.bus.drain()
    (said,) = place.said()
    assert isinstance(said, OutputReleased)
    assert 0 < said.scores["nudity"] < 0.85
    assert await place.artifacts.get(RELEASED) == mesh


@pytest.mark.covers("R003", "R339")
async def test_a_mesh_that_looks_unsafe_stays_in_quarantine():
    place = Place(SaysNude())
    async with running(place.bus, place.service):
        await place.submit("a person")
        await place.finish(write_glb(box()), MIME)
        await place.bus.drain()
    (said,) = place.said()
    assert isinstance(said, OutputBlocked)
    assert said.category == "nudity"
    assert await place.artifacts.info(RELEASED) is None


async def test_a_mesh_that_cannot_be_drawn_is_blocked():
    place = Place(OpenNsfw(1))
    async with running(place.bus, place.service):
        await place.submit("a trick")
        await place.finish(b"glTF and nothing else", MIME)
        await place.bus.drain()
    (said,) = place.said()
    assert isinstance(said, OutputBlocked)
    assert said.category == "unjudged"


async def test_the_worst_view_counts(monkeypatch):
    network = OpenNsfw(1)
    told = iter([0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    monkeypatch.setattr(network, "_score", lambda _view: next(told))
    assert await network.scores(write_glb(box()), MIME) == {"nudity": 0.9}
    assert next(told, None) is None, "every view is looked at"
