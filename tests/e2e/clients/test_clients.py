"""Clients of ComfyUI, unmodified, from the package indexes: each makes the demo picture."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL.PngImagePlugin import PngImageFile

from tests.e2e.clients.installing import Clients, NotInstalled, install
from tests.e2e.houses import House

PROGRAMS = Path(__file__).with_name("programs")
CLIENT_SECONDS_MAX = 60
CLIENTS = (
    "comfy_api_simplified.py",
    "comfy_headless.py",
    "comfy_sdk.py",
    "comfy_ui_client.mjs",
    "comfykit.py",
    "comfyorg_sdk.mjs",
    "comfyui_autograph.py",
    "comfyui_xy.py",
    "stable_canvas.mjs",
)


@pytest.fixture(scope="session")
def clients() -> Clients:
    """Give the clients; without a package index, and without them in the cache, nothing is shown."""
    try:
        return install()
    except NotInstalled as error:
        pytest.skip(f"the clients could not be fetched: {error}")


@dataclass(frozen=True)
class Drawn:
    """What a client left behind: the graph it was given, and the pictures it kept."""

    graph: dict[str, Any]
    pictures: list[Path]


def draw(clients: Clients, program: str, url: str, graph: dict[str, Any], folder: Path) -> Drawn:
    """Run a client's program on a graph that nobody else has drawn."""
    graph["sampler"]["inputs"] |= {"seed": random.randrange(2**40), "steps": 4}
    for name, node in graph.items():
        node["_meta"] = {"title": name}
    (folder / "graph.json").write_text(json.dumps(graph))
    kept = folder / "kept"
    kept.mkdir()
    is_python = program.endswith(".py")
    runner = [str(clients.python)] if is_python else [clients.node, "--input-type=module"]
    done = subprocess.run(
        [*runner, "-", url, str(folder / "graph.json"), str(kept)],
        # Node finds packages from where it is; both read the program from its text.
        cwd=kept if is_python else clients.packages,
        input=(PROGRAMS / program).read_text(),
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return Drawn(graph, sorted(kept.iterdir()))


def files_in_history(api: httpx.Client, graph: dict[str, Any]) -> list[bytes]:
    """Return the files of every finished prompt that had this graph."""
    found = []
    for prompt_id, entry in api.get("/history", params={"max_items": 20}).json().items():
        if entry["prompt"][2] == graph:
            assert entry["prompt"][1] == prompt_id
            assert entry["status"]["completed"]
            image = entry["outputs"]["picture"]["images"][0]
            found.append(api.get("/view", params=image).content)
    return found


@pytest.mark.covers("R185", "R194", "R202", "R208")
@pytest.mark.parametrize("program", CLIENTS, ids=lambda name: str(name).partition(".")[0])
def test_an_unmodified_client_makes_the_picture_of_its_graph(
    clients: Clients,
    shared_house: House,
    api: httpx.Client,
    demo_graph: dict[str, Any],
    tmp_path: Path,
    program: str,
):
    drawn = draw(clients, program, shared_house.url, demo_graph, tmp_path)
    assert drawn.pictures
    made = files_in_history(api, drawn.graph)
    assert len(made) == len(drawn.pictures)
    for path in drawn.pictures:
        assert path.read_bytes() in made
        with PngImageFile(path) as picture:
            assert picture.size == (256, 256)
            assert json.loads(picture.text["prompt"]) == drawn.graph


@pytest.mark.covers("R253")
def test_an_agent_makes_a_picture_with_a_published_mcp_server(
    clients: Clients,
    shared_house: House,
    api: httpx.Client,
    demo_graph: dict[str, Any],
    tmp_path: Path,
):
    drawn = draw(clients, "mcp_server.py", shared_house.url, demo_graph, tmp_path)
    (picture,) = drawn.pictures
    assert [picture.read_bytes()] == files_in_history(api, drawn.graph)
