"""GLB: a surface of coloured triangles in one file, as glTF 2.0 describes it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from libs.core.errors import Refused
from libs.core.jsonvalue import Json, JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
    Indices = NDArray[np.integer[Any]]

MIME: Final = "model/gltf-binary"
GENERATOR: Final = "Hanzo Studio"
MAGIC: Final = b"glTF"
VERSION: Final = 2
CHUNK_JSON, CHUNK_BINARY = 0x4E4F534A, 0x004E4942
HEADER: Final = struct.Struct("<4sII")
CHUNK: Final = struct.Struct("<II")
FLOAT, UNSIGNED = 5126, 5125
VERTICES, ELEMENTS = 34962, 34963
TRIANGLES: Final = 4
JSON_BYTES_MAX: Final = 4 * 1024 * 1024
WORD: Final = 4


@dataclass(frozen=True)
class Solid:
    """A surface: places [n, 3] with y upwards, linear colours [n, 3], triangles [m, 3]."""

    places: Floats
    colours: Floats
    triangles: Indices

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return int(self.places.nbytes + self.colours.nbytes + self.triangles.nbytes)


def write_glb(solid: Solid, extras: Mapping[str, Json] | None = None) -> bytes:
    """Return the file; `extras` are told about whoever made it. Raise Refused for no triangles."""
    import numpy as np

    if not solid.triangles.size:
        raise Refused("the mesh has no triangles: nothing was found in it")
    arrays = [
        np.ascontiguousarray(array, kind)
        for array, kind in (
            (solid.triangles.reshape(-1), "<u4"),
            (solid.places, "<f4"),
            (normals_of(solid), "<f4"),
            (np.clip(solid.colours, 0, 1), "<f4"),
        )
    ]
    binary = b"".join(array.tobytes() for array in arrays)
    document = _document(arrays, len(binary), dict(extras or {}))
    told = json.dumps(document, separators=(",", ":")).encode()
    chunks = b"".join(
        CHUNK.pack(len(data), kind) + data
        for data, kind in (
            (_padded(told, b" "), CHUNK_JSON),
            (_padded(binary, b"\0"), CHUNK_BINARY),
        )
    )
    return HEADER.pack(MAGIC, VERSION, HEADER.size + len(chunks)) + chunks


def read_glb(data: bytes) -> Solid:
    """Return the surface in a file that `write_glb` wrote; raise Refused for any other."""
    try:
        return _solid_of(*_opened(data))
    except (KeyError, IndexError, TypeError, ValueError, struct.error) as error:
        raise Refused("the file is no GLB that can be read", reason=str(error)) from error


def normals_of(solid: Solid) -> Floats:
    """Return the direction in which the surface looks at each of its places."""
    import numpy as np

    corners = solid.places[solid.triangles].astype(np.float64)
    # As long as the triangle is large, so that small ones count less.
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = np.zeros((len(solid.places), 3))
    for corner in range(3):
        np.add.at(summed, solid.triangles[:, corner], facing)
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    upwards = np.array([0.0, 1.0, 0.0])
    normals: Floats = np.where(length > 0, summed / np.maximum(length, 1e-300), upwards)
    return normals.astype(np.float32)


def _document(arrays: list[Any], size: int, extras: JsonObject) -> JsonObject:
    indices, *attributes = arrays
    places = attributes[0]
    views: list[Json] = []
    start = 0
    for array in arrays:
        target = ELEMENTS if array is indices else VERTICES
        views.append(
            {"buffer": 0, "byteOffset": start, "byteLength": array.nbytes, "target": target}
        )
        start += array.nbytes
    bounds: JsonObject = {"min": places.min(0).tolist(), "max": places.max(0).tolist()}
    vectors: list[Json] = [
        {
            "bufferView": number,
            "componentType": FLOAT,
            "count": len(array),
            "type": "VEC3",
            **(bounds if array is places else {}),
        }
        for number, array in enumerate(attributes, start=1)
    ]
    scalars: JsonObject = {"bufferView": 0, "componentType": UNSIGNED, "type": "SCALAR"}
    asset: JsonObject = {"version": "2.0", "generator": GENERATOR}
    primitive: JsonObject = {
        "attributes": {"POSITION": 1, "NORMAL": 2, "COLOR_0": 3},
        "indices": 0,
        "material": 0,
        "mode": TRIANGLES,
    }
    return {
        "asset": {**asset, "extras": extras} if extras else asset,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [
            {
                "doubleSided": True,
                "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
            }
        ],
        "accessors": [{**scalars, "count": len(indices)}, *vectors],
        "bufferViews": views,
        "buffers": [{"byteLength": size}],
    }


def _padded(data: bytes, filler: bytes) -> bytes:
    return data + filler * (-len(data) % WORD)


def _opened(data: bytes) -> tuple[Any, bytes]:
    magic, version, length = HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or length != len(data):
        raise ValueError("the header is wrong")
    size, kind = CHUNK.unpack_from(data, HEADER.size)
    start = HEADER.size + CHUNK.size
    if kind != CHUNK_JSON or size > JSON_BYTES_MAX:
        raise ValueError("the description is missing or too large")
    document = json.loads(data[start : start + size])
    binary_size, kind = CHUNK.unpack_from(data, start + size)
    binary = data[start + size + CHUNK.size :]
    if kind != CHUNK_BINARY or len(binary) != binary_size:
        raise ValueError("the numbers are missing")
    return document, binary


def _solid_of(document: Any, binary: bytes) -> Solid:
    primitive = document["meshes"][0]["primitives"][0]
    attributes = primitive["attributes"]
    places, colours, triangles = (
        _array(document, binary, number)
        for number in (attributes["POSITION"], attributes["COLOR_0"], primitive["indices"])
    )
    if len(colours) != len(places) or int(triangles.max()) >= len(places):
        raise ValueError("triangles have corners that are not there")
    return Solid(places, colours, triangles.reshape(-1, 3))


def _array(document: Any, binary: bytes, number: int) -> Any:
    import numpy as np

    accessor = document["accessors"][number]
    view = document["bufferViews"][accessor["bufferView"]]
    wide = {"SCALAR": 1, "VEC3": 3}[accessor["type"]]
    kind = {FLOAT: "<f4", UNSIGNED: "<u4"}[accessor["componentType"]]
    count = int(accessor["count"]) * wide
    if count <= 0 or count * WORD != view["byteLength"]:
        raise ValueError("the numbers are not where they are said to be")
    array = np.frombuffer(binary, kind, count, int(view["byteOffset"]))
    if kind == "<f4" and not np.isfinite(array).all():
        raise ValueError("a number is not finite")
    return array.reshape(-1, wide) if wide > 1 else array
