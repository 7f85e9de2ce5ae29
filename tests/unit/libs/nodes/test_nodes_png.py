"""A picture carries the workflow that made it, where readers look for it."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from libs.core.jsonvalue import JsonObject
from libs.nodes.png import chunks_for, encode_png

PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
PROMPT: JsonObject = {
    "1": {"class_type": "KSampler", "inputs": {"text": "ein Füchslein 狐 \u0000"}}
}
LITEGRAPH: JsonObject = {"version": 0.4, "nodes": [{"id": 1}], "links": []}
HIP: JsonObject = {"version": 1, "nodes": {"1": {"type": "KSampler", "inputs": {}}}}


def read(data) -> Any:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


@pytest.mark.covers("R187", "R215")
def test_prompt_and_workflow_are_read_back_as_they_were_given():
    data = encode_png(PIXELS, chunks_for(PROMPT, {"workflow": LITEGRAPH, "note": [1, "ä"]}, None))
    text = read(data).text
    assert json.loads(text["prompt"]) == PROMPT
    assert json.loads(text["workflow"]) == LITEGRAPH
    assert json.loads(text["note"]) == [1, "ä"]
    assert list(text) == ["prompt", "workflow", "note"]
    assert data.count(b"tEXt") == 3


@pytest.mark.covers("R215")
@pytest.mark.parametrize(
    ("extra", "hip"), [({}, HIP), ({"workflow": HIP}, None), ({"workflow": HIP}, HIP)]
)
def test_a_hip35_document_never_stands_where_the_editor_looks(extra, hip):
    chunks = chunks_for(PROMPT, extra, hip)
    assert "workflow" not in chunks
    assert json.loads(chunks["hip_workflow"]) == HIP
    assert json.loads(chunks["prompt"]) == PROMPT


def test_both_documents_have_a_place():
    chunks = chunks_for(PROMPT, {"workflow": LITEGRAPH}, HIP)
    assert json.loads(chunks["workflow"]) == LITEGRAPH
    assert json.loads(chunks["hip_workflow"]) == HIP


def test_a_client_cannot_replace_what_the_house_writes():
    chunks = chunks_for(PROMPT, {"prompt": "forged", "hip_workflow": "forged"}, None)
    assert json.loads(chunks["prompt"]) == PROMPT
    assert "hip_workflow" not in chunks


@pytest.mark.covers("R214")
def test_pixels_come_back_and_the_bytes_are_always_the_same():
    first, second = (encode_png(PIXELS, {"prompt": "{}"}) for _ in range(2))
    assert first == second
    assert read(first).format == "PNG"
    assert np.array_equal(np.asarray(read(first)), PIXELS)
