"""What is written in model files, and the pictures beside them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from libs.artifacts.keys import model_metadata_key, model_preview_key
from libs.artifacts.memory import MemoryArtifacts
from libs.weights.folder import Found
from services.gpu_worker.describing import SIDE_MAX, Describing, metadata_of, picture_beside


def safetensors(path: Path, header: object) -> Path:
    """Write a file with a header and no tensors."""
    told = json.dumps(header).encode()
    path.write_bytes(len(told).to_bytes(8, "little") + told)
    return path


def found(path: Path) -> Found:
    return Found(path.name, path, path.stat().st_size, 7)


def test_the_texts_of_a_header_are_read(tmp_path: Path):
    header = {"__metadata__": {"author": "ann", "odd": 7}, "w": {"dtype": "F32"}}
    assert metadata_of(safetensors(tmp_path / "a.safetensors", header)) == {"author": "ann"}


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\x09" + b"\0" * 7 + b"{", b"\0" * 100],
)
def test_what_is_no_header_has_no_texts(tmp_path: Path, content: bytes):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert metadata_of(path) == {}


def test_texts_beyond_their_bound_are_left_out(tmp_path: Path):
    header = {"__metadata__": {"long": "x" * 2_000_000}}
    assert metadata_of(safetensors(tmp_path / "a.safetensors", header)) == {}


@pytest.mark.parametrize("ending", [".png", ".jpg", ".preview.png"])
def test_the_picture_beside_a_file_becomes_small(tmp_path: Path, ending: str):
    path = tmp_path / "a.safetensors"
    Image.new("RGB", (2000, 1000), "red").save(tmp_path / f"a{ending}")
    made = picture_beside(path)
    assert made is not None
    with Image.open(io.BytesIO(made)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (SIDE_MAX, SIDE_MAX // 2))


def test_what_is_no_picture_is_passed_over(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert picture_beside(tmp_path / "a.safetensors") is None


async def test_each_file_is_described_once_and_again_when_it_was_replaced(tmp_path: Path):
    artifacts = MemoryArtifacts()
    path = safetensors(tmp_path / "a.safetensors", {"__metadata__": {"author": "ann"}})
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    files = {"loras": {"a.safetensors": found(path)}}
    describing = Describing(artifacts, lambda: files, 1.0)
    await describing.describe()
    facts = ("loras", "a.safetensors", path.stat().st_size, 7)
    assert json.loads(await artifacts.get(model_metadata_key(*facts))) == {"author": "ann"}
    assert await artifacts.get(model_preview_key(*facts))
    await artifacts.delete(model_metadata_key(*facts))
    await describing.describe()
    assert await artifacts.info(model_metadata_key(*facts)) is None
    safetensors(path, {"__metadata__": {"author": "another"}})
    files["loras"]["a.safetensors"] = replaced = found(path)
    await describing.describe()
    again = ("loras", "a.safetensors", replaced.size_bytes, 7)
    assert json.loads(await artifacts.get(model_metadata_key(*again))) == {"author": "another"}
