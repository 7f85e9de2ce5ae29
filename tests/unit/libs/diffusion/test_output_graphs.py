"""Whole graphs put out pictures and films of every format, and take them in again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import av
import pytest
from PIL import Image

from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.nodes.context import Loader
from libs.nodes.local import LocalContext
from libs.nodes.registry import load, schemas
from services.gpu_worker.executor import Executor
from services.gpu_worker.results import ResultMemory
from tests.unit.libs.diffusion import tiny
from tests.unit.silent import Silent


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def executed(root: Path, graph: Any) -> dict[str, Any]:
    """Execute all output nodes; return the bytes of the first file of each."""
    parsed = parse(graph)
    outputs = [one for one, found in parsed.nodes.items() if schemas()[found.type].output_node]
    loader = cast("Loader", tiny.loader())
    done = Executor(load(), ResultMemory(2**26)).execute(
        parsed,
        plan(parsed, Catalogue(schemas()), outputs),
        lambda node_id: LocalContext(root=root, loader=loader, node_id=node_id, prompt=graph),
        Silent(),
    )
    files: dict[str, Any] = {}
    for node_id, ui in done.ui.items():
        (first, *_) = cast("Any", ui["images"])
        place = root / first["type"] / first["subfolder"] / first["filename"]
        files[node_id] = (first["filename"], place.read_bytes())
    return files


def probed(data: bytes) -> tuple[str, int, float]:
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        count = sum(1 for _ in container.decode(video=0))
        return stream.codec.canonical_name, count, float(stream.average_rate or 0)


@pytest.mark.covers("R002", "R219", "R220", "R222", "R224")
def test_a_batch_is_put_out_in_every_moving_format(tmp_path):
    frames = {
        "red": node("EmptyImage", width=32, height=24, batch_size=2, color=0xFF0000),
        "blue": node("EmptyImage", width=32, height=24, batch_size=3, color=0x0000FF),
        "all": node("ImageBatch", image1=["red", 0], image2=["blue", 0]),
    }
    given = {"images": ["all", 0], "filename_prefix": "out/x"}
    graph = frames | {
        "h264": node("HanzoSaveVideo", **given, codec="h264", fps=8.0),
        "h265": node("HanzoSaveVideo", **given, codec="h265", fps=30.0),
        "webm": node("SaveWEBM", **given, codec="vp9", fps=24.0, crf=32.0),
        "made": node("CreateVideo", images=["all", 0], fps=16.0),
        "video": node(
            "SaveVideo", video=["made", 0], filename_prefix="x", format="auto", codec="auto"
        ),
        "gif": node("HanzoSaveGIF", **given, fps=10.0, loop=True),
        "webp": node(
            "SaveAnimatedWEBP", **given, fps=6.0, lossless=True, quality=80, method="fastest"
        ),
        "apng": node("SaveAnimatedPNG", **given, fps=6.0, compress_level=4),
    }
    files = executed(tmp_path, graph)
    assert probed(files["h264"][1]) == ("h264", 5, 8.0)
    assert probed(files["h265"][1]) == ("hevc", 5, 30.0)
    assert probed(files["webm"][1]) == ("vp9", 5, 24.0)
    assert probed(files["video"][1]) == ("h264", 5, 16.0)
    for name in ("gif", "webp", "apng"):
        picture: Any = Image.open(io.BytesIO(files[name][1]))
        colours = []
        for number in (0, picture.n_frames - 1):
            picture.seek(number)
            colours.append(picture.convert("RGB").getpixel((5, 5)))
        assert colours == [(255, 0, 0), (0, 0, 255)]
    assert files["gif"][0].endswith(".gif")


@pytest.mark.covers("R002")
def test_a_film_of_one_graph_is_the_beginning_of_another(tmp_path):
    first = {
        "1": node("EmptyImage", width=32, height=32, batch_size=4, color=0x336699),
        "2": node("HanzoSaveVideo", images=["1", 0], filename_prefix="film", codec="vp9", fps=12.0),
    }
    name, _ = executed(tmp_path, first)["2"]
    second = {
        "1": node("LoadVideo", file=f"{name} [output]"),
        "2": node("GetVideoComponents", video=["1", 0]),
        "3": node("ImageFromBatch", image=["2", 0], batch_index=3, length=1),
        "4": node("SaveImage", images=["3", 0], filename_prefix="still", format="jpeg"),
        "5": node("CreateVideo", images=["2", 0], audio=["2", 1], fps=["2", 2]),
        "6": node("SaveVideo", video=["5", 0], filename_prefix="again", format="mp4", codec="h264"),
    }
    files = executed(tmp_path, second)
    assert probed(files["6"][1]) == ("h264", 4, 12.0)
    still: Any = Image.open(io.BytesIO(files["4"][1]))
    assert still.format == "JPEG"
    shade = still.getpixel((9, 9))
    assert all(abs(one - other) <= 4 for one, other in zip(shade, (0x33, 0x66, 0x99), strict=True))


def test_a_transparent_picture_is_kept_transparent(tmp_path):
    graph = {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=0x00FF00),
        "2": node("SolidMask", value=0.5, width=8, height=8),
        "3": node("JoinImageWithAlpha", image=["1", 0], alpha=["2", 0]),
        "4": node("SaveImage", images=["3", 0], filename_prefix="a"),
        "5": node("SaveImage", images=["3", 0], filename_prefix="b", format="webp"),
    }
    for _, data in executed(tmp_path, graph).values():
        picture: Any = Image.open(io.BytesIO(data))
        assert picture.mode == "RGBA"
        assert picture.getpixel((3, 3))[3] == 127
