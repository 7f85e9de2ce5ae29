"""A real browser with ComfyUI's unmodified editor in it, and what a person does there."""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Response,
    ViewportSize,
    sync_playwright,
)

from services.gateway.editor import installed

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_MS = 60_000
VIEW: ViewportSize = {"width": 1600, "height": 950}
# What the editor asks for only to see whether it is there; ComfyUI's server says 404 as well.
PROBES = (
    "/user.css",
    "/api/userdata",
    "/api/userdata/user.css",
    "/api/userdata/comfy.templates.json",
    "/api/userdata/workflows%2F.index.json",
)
# HIP-35's own word for the end of a run, which the editor names once and then ignores.
IGNORED_WORDS = ("Unknown message type execution_complete", "api.comfy.org", "404 (Not Found)")
NODES = """() => (window.app?.graph?.nodes ?? []).map(node => ({
  id: node.id, type: node.type, title: node.title,
  box: [...node.boundingRect], progress: node.progress ?? null,
  pictures: (node.imgs ?? []).map(image => image.naturalWidth),
  sources: (node.imgs ?? []).map(image => image.src),
  widgets: Object.fromEntries((node.widgets ?? []).map(widget => [widget.name, widget.value])),
}))"""
SOCKET = """([id, slot, isInput]) => {
  const node = app.graph.getNodeById(id)
  const [x, y] = node.getConnectionPos(isInput, slot)
  const {offset, scale} = app.canvas.ds
  const {left, top} = app.canvas.canvas.getBoundingClientRect()
  return [left + (x + offset[0]) * scale, top + (y + offset[1]) * scale]
}"""
DROP = """([data, name, type]) => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0))
  const dropped = new DataTransfer()
  dropped.items.add(new File([bytes], name, {type}))
  const where = {bubbles: true, cancelable: true, clientX: 900, clientY: 820}
  for (const kind of ['dragenter', 'dragover', 'drop'])
    app.canvas.canvas.dispatchEvent(new DragEvent(kind, {dataTransfer: dropped, ...where}))
}"""
FOLLOW = """() => {
  window.followed = {progress: [], nodes: [], ended: 0}
  const {api} = window.comfyAPI.api
  api.addEventListener('progress', ({detail}) => {
    if (detail.max > 1) followed.progress.push(detail.value)
  })
  api.addEventListener('progress', () => followed.nodes.push(
    ...app.graph.nodes.filter(node => node.progress > 0 && node.progress < 1)
      .map(node => node.type)))
  api.addEventListener('execution_success', () => followed.ended += 1)
}"""

# Brings all nodes into view at once; the editor's own command takes its time to fly there.
FIT = """() => {
  app.canvas.draw(true, true)
  const boxes = app.graph.nodes.map(node => [...node.boundingRect])
  const [left, top] = [0, 1].map(axis => Math.min(...boxes.map(box => box[axis])))
  const [right, bottom] = [0, 1].map(axis => Math.max(...boxes.map(b => b[axis] + b[axis + 2])))
  const {ds, canvas} = app.canvas
  const {width, height} = canvas.getBoundingClientRect()
  ds.scale = Math.min(1, 0.75 * width / (right - left), 0.75 * height / (bottom - top))
  ds.offset[0] = width / 2 / ds.scale - (left + right) / 2
  ds.offset[1] = height / 2 / ds.scale - (top + bottom) / 2
  app.canvas.draw(true, true)
}"""
# Opens documents one after the other; returns the nodes that were drawn and what would be sent.
TRY = """async documents => {
  const found = {}
  for (const [name, workflow] of Object.entries(documents)) {
    await app.loadGraphData(workflow, true, true, name)
    app.canvas.draw(true, true)
    const nodes = app.graph.nodes.map(({type, boundingRect}) => ({type, box: [...boundingRect]}))
    found[name] = {nodes, sent: (await app.graphToPrompt()).output}
  }
  return found
}"""
# Gives each widget of each node type another value; returns what was given and what would be sent.
EDIT = """async () => {
  const given = {}
  app.graph.clear()
  for (const type of Object.keys(LiteGraph.registered_node_types)) {
    if (!LiteGraph.registered_node_types[type].nodeData?.python_module) continue
    const node = LiteGraph.createNode(type)
    app.graph.add(node)
    const values = {}
    for (const widget of node.widgets ?? []) {
      const {type: kind, name, value, options} = widget
      const choices = Array.isArray(options?.values) ? options.values : []
      if (kind === 'button' || widget.serialize === false || options?.serialize === false) continue
      if (kind === 'number') values[name] = value > options.min ? options.min : options.max
      else if (kind === 'toggle') values[name] = !value
      else if (kind === 'combo') values[name] = choices.find(one => one !== value) ?? value
      else if (typeof value === 'string') values[name] = value + ' changed'
      if (name in values) widget.value = values[name]
    }
    given[type] = {id: String(node.id), values, sockets: (node.inputs ?? []).map(one => one.name)}
  }
  const {output} = await app.graphToPrompt()
  for (const found of Object.values(given)) found.sent = output[found.id]?.inputs ?? null
  app.graph.clear()
  return given
}"""
# Moves and zooms as a person does; returns the milliseconds that each picture of it took.
MOVE = """async () => {
  const {canvas} = app.canvas
  const send = (deltaY, x) => canvas.dispatchEvent(new WheelEvent('wheel', {
    deltaY, deltaX: x, ctrlKey: deltaY !== 0, clientX: 700, clientY: 500,
    bubbles: true, cancelable: true}))
  const took = []
  for (let turn = 0; turn < 12; turn++) {
    send(turn % 3 ? -60 : 90, turn % 2 ? 120 : 0)
    const began = performance.now()
    app.canvas.draw(true, true)
    took.push(performance.now() - began)
    await new Promise(requestAnimationFrame)
  }
  return took
}"""


@dataclass
class Studio:
    """The editor in a browser, and everything about it that a user would call broken."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    tolerated: tuple[str, ...] = PROBES

    def watch(self) -> None:
        """Note whatever goes wrong from now on."""
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("response", self._answered)
        self.page.on("console", self._said)
        self.page.on("requestfinished", self._asked)

    def open(self) -> float:
        """Go to the house's address; return how many seconds it took until a graph was drawn."""
        began = time.monotonic()
        self.page.goto(self.url)
        self.page.wait_for_function("() => (window.app?.graph?.nodes ?? []).length > 0")
        self.page.locator("#splash-loader").wait_for(state="detached")
        took = time.monotonic() - began
        self.page.evaluate(FOLLOW)
        return took

    def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes on the canvas."""
        found: list[dict[str, Any]] = self.page.evaluate(NODES)
        return found

    def node(self, type_: str) -> dict[str, Any]:
        """Return the first node of a type."""
        return next(node for node in self.nodes() if node["type"] == type_)

    def load(self, workflow: Any, name: str = "loaded") -> None:
        """Open a document as the editor's own menus do."""
        self.page.evaluate("([w, n]) => app.loadGraphData(w, true, true, n)", [workflow, name])

    def fit(self) -> None:
        """Bring the whole graph into view: what is out of view is not drawn."""
        self.page.evaluate(FIT)

    def command(self, name: str) -> None:
        """Begin what a menu entry does; it may ask something first."""
        self.page.evaluate("name => { app.extensionManager.command.execute(name) }", name)

    def set(self, type_: str, **widgets: Any) -> None:
        """Write into the widgets of the first node of a type."""
        self.page.evaluate(
            """([type, values]) => {
              const node = app.graph.nodes.find(node => node.type === type)
              for (const [name, value] of Object.entries(values))
                node.widgets.find(widget => widget.name === name).value = value
            }""",
            [type_, widgets],
        )

    def run(self) -> None:
        """Press Run."""
        self.page.get_by_test_id("queue-button").click()

    def wait_for(self, expression: str) -> None:
        """Wait until an expression of the page comes true."""
        self.page.wait_for_function(expression)

    def look_at(self, type_: str) -> None:
        """Bring the first node of a type into the middle, at its own size."""
        self.page.evaluate(
            """type => {
              app.canvas.ds.scale = 1
              app.canvas.centerOnNode(app.graph.nodes.find(node => node.type === type))
              app.canvas.setDirty(true, true)
            }""",
            type_,
        )

    def wait_for_picture(self, type_: str = "SaveImage") -> dict[str, Any]:
        """Wait until a node shows a picture; return the node."""
        self.wait_for(
            f"() => app.graph.nodes.some(n => n.type === '{type_}' && n.imgs?.[0]?.naturalWidth)"
        )
        return self.node(type_)

    def wire(self, source: str, output: int, target: str, socket: int, which: int = 0) -> None:
        """Drag a wire from an output to an input, as a person does."""
        ends = [node["id"] for node in self.nodes() if node["type"] == target]
        begin = self.page.evaluate(SOCKET, [self.node(source)["id"], output, False])
        end = self.page.evaluate(SOCKET, [ends[which], socket, True])
        self.page.mouse.move(*begin)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=4)
        self.page.mouse.up()

    def drop(self, data: bytes, name: str, mime: str) -> None:
        """Drop a file onto the canvas."""
        self.page.evaluate(DROP, [base64.b64encode(data).decode(), name, mime])

    def photograph(self, name: str) -> None:
        """Keep a picture of the page where a person asked for it."""
        if folder := os.environ.get("STUDIO_TEST_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / name)

    def _answered(self, response: Response) -> None:
        path = urlsplit(response.url).path
        if response.status >= 400 and path not in self.tolerated:
            self.failed.append(f"{response.status} {response.request.method} {response.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(word in message.text for word in IGNORED_WORDS):
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).hostname or "")


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser until the end of the block."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield running
        running.close()


def lacking() -> str:
    """Say what is missing for the editor in a browser; nothing if it can be shown."""
    if CHROMIUM is None:
        return "no Chromium on this machine"
    return "" if installed() else "the extra `editor` is not installed"


def busy() -> float:
    """Say how many times slower the machine may be for what it does besides."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
