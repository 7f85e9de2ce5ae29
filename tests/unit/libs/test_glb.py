"""GLB files, checked by a reader of others and by our own."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
import pytest
import trimesh

from libs.core.errors import Refused
from libs.glb import MAGIC, Solid, normals_of, read_glb, write_glb

CUBE_PLACES = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 2)], np.float32)
CUBE_TRIANGLES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ],
    np.uint32,
)  # fmt: skip


def cube() -> Solid:
    return Solid(CUBE_PLACES, CUBE_PLACES / 2, CUBE_TRIANGLES)


def loaded(data: bytes) -> Any:
    scene = trimesh.load(io.BytesIO(data), file_type="glb", process=False)
    (mesh,) = scene.geometry.values()
    return mesh


@pytest.mark.covers("R003")
def test_another_reader_finds_the_solid_that_was_written():
    data = write_glb(cube(), {"prompt": '{"1": {}}'})
    mesh = loaded(data)
    assert np.allclose(mesh.vertices, CUBE_PLACES)
    assert np.array_equal(mesh.faces, CUBE_TRIANGLES)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(2.0)
    colours = np.asarray(mesh.visual.vertex_attributes["color"])
    assert np.allclose(colours[:, :3], CUBE_PLACES / 2)
    assert np.allclose(np.linalg.norm(mesh.vertex_normals, axis=1), 1.0, atol=1e-5)


@pytest.mark.covers("R003")
def test_the_file_is_laid_out_as_gltf_wants_it():
    data = write_glb(cube(), {"prompt": "é"})
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (MAGIC, 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert (kind, size % 4) == (b"JSON", 0)
    document = json.loads(data[20 : 20 + size])
    assert document["asset"] == {
        "version": "2.0", "generator": "Hanzo Studio", "extras": {"prompt": "é"},
    }  # fmt: skip
    binary, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert (kind, binary % 4) == (b"BIN\0", 0)
    assert document["buffers"] == [{"byteLength": binary}]
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
    places = document["accessors"][1]
    assert (places["min"], places["max"]) == ([0, 0, 0], [1, 1, 2])
    assert write_glb(cube(), {"prompt": "é"}) == data, "the same solid is the same file"


def test_what_was_written_is_read_again():
    again = read_glb(write_glb(cube()))
    assert np.array_equal(again.places, CUBE_PLACES)
    assert np.array_equal(again.triangles, CUBE_TRIANGLES)
    assert np.allclose(again.colours, CUBE_PLACES / 2)


def test_a_place_without_a_surface_looks_upwards():
    flat = Solid(np.zeros((4, 3), np.float32), np.zeros((4, 3)), np.array([[0, 1, 2]], np.uint32))
    assert np.array_equal(normals_of(flat), [[0, 1, 0]] * 4)


def test_a_solid_of_nothing_is_refused():
    with pytest.raises(Refused, match="no triangles"):
        write_glb(Solid(CUBE_PLACES, CUBE_PLACES, np.zeros((0, 3), np.uint32)))


@pytest.mark.parametrize("damage", ["cut", "magic", "corner", "text", "nothing", "infinite"])
def test_a_damaged_file_is_refused(damage):
    data = write_glb(cube())
    size = struct.unpack_from("<I", data, 12)[0]
    first = 20 + size + 8
    places = first + CUBE_TRIANGLES.nbytes
    broken = {
        "cut": data[:-4],
        "magic": b"gltf" + data[4:],
        "corner": data[:first] + b"\xff\x00\x00\x00" + data[first + 4 :],
        "text": data[:20] + b"#" + data[21:],
        "nothing": b"",
        "infinite": data[:places] + struct.pack("<f", float("inf")) + data[places + 4 :],
    }[damage]
    with pytest.raises(Refused, match="no GLB"):
        read_glb(broken)
