"""Visits of the editor and of Painter: `python -m tests.bench.visits URL PAINTER --rounds 3`."""

from __future__ import annotations

import argparse
import json
import time

from playwright.sync_api import Page

from tests.bench.programs import say
from tests.e2e.browsing import browser
from tests.e2e.crowding import Person, person
from tests.e2e.examples import long_chain

NODES = 500
PAINT = """() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"""
# Every node type of the house is known to the editor.
KNOWN = """count => Object.values(LiteGraph.registered_node_types)
  .filter(type => type.nodeData).length >= count"""
LOAD = """async workflow => {
  const began = performance.now()
  await app.loadGraphData(workflow, true, true, 'long')
  app.canvas.draw(true, true)
  return (performance.now() - began) / 1000
}"""


def run(url: str, painter: str, rounds: int) -> None:
    """Tell how long each thing took."""
    visits = [_visit(url) for _ in range(rounds)]
    say("editor", **{name: [visit[name] for visit in visits] for name in visits[0]})
    say("painter", paint_seconds=[_paint(painter) for _ in range(rounds)])
    say("long", **_long(url))


def _visit(url: str) -> dict[str, float]:
    """Open the editor in a new browser, and once more."""
    with browser() as chromium, person(chromium, url) as someone:
        count = len(someone.api.get("/object_info").json())
        sizes: list[float] = []
        someone.wire.on("Network.loadingFinished", lambda e: sizes.append(e["encodedDataLength"]))
        seconds = _opened(someone, count)
        first = {"requests": len(sizes), "bytes": sum(sizes)}
        return {
            "seconds": seconds,
            "paint_seconds": _painted(someone.studio.page),
            **first,
            "again_seconds": _opened(someone, count),
        }


def _opened(someone: Person, count: int) -> float:
    """Return the seconds until a graph is drawn and every node type is known."""
    began = time.monotonic()
    someone.studio.open()
    someone.studio.page.wait_for_function(KNOWN, arg=count)
    return time.monotonic() - began


def _paint(url: str) -> float:
    with browser() as chromium:
        page = chromium.new_page()
        page.goto(url)
        return _painted(page)


def _painted(page: Page) -> float:
    """Return the seconds from navigation to the first words or pictures."""
    return float(page.wait_for_function(PAINT).json_value()) / 1000


def _long(url: str) -> dict[str, float]:
    """Open a graph of 500 nodes, run it, and wait for its picture in the node."""
    with browser() as chromium, person(chromium, url) as someone:
        someone.studio.open()
        kept = {"name": "long", "workflow": long_chain(NODES)}
        name = someone.api.post("/api/workflows", json=kept).json()["id"]
        graph = someone.api.get(f"/templates/{name}.json").json()
        drawn = float(someone.studio.page.evaluate(LOAD, graph))
        someone.studio.look_at("SaveImage")
        before = sum(map(len, someone.sockets))
        began = time.monotonic()
        prompt_id = someone.run()
        answered = time.monotonic() - began
        someone.wait_until_shown(prompt_id)
        return {
            "drawn_seconds": drawn,
            "answered_seconds": answered,
            "shown_seconds": time.monotonic() - began,
            "bytes": sum(len(json.dumps(f)) for f in someone.sockets[-1][before:]),
        }


def main() -> None:
    """Read the command line and go."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("url")
    words.add_argument("painter")
    words.add_argument("--rounds", type=int, default=3)
    given = words.parse_args()
    run(given.url, given.painter, given.rounds)


if __name__ == "__main__":
    main()
