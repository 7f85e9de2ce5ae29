"""ComfyUI's editor, unmodified, in a real browser: a person's whole day in it."""

from __future__ import annotations

import io
import json
import os
import random
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from libs.graph.placing import Box
from libs.nodes.templates import TEMPLATES
from tests.bench.programs import client
from tests.e2e.browsing import EDIT, MOVE, TRY, Studio, busy, lacking
from tests.e2e.crowding import Person
from tests.e2e.examples import example, long_chain
from tests.e2e.houses import ROOT, wait_until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    pytest.mark.timeout(200),
]
DEMO = "hanzo-demo-64.safetensors"
NOTE = "MarkdownNote"
LOAD_SECONDS_MAX = 8
MADE = re.compile(r"studio_\d{5}_")
# Milliseconds that a picture of a moving canvas may take: ten in a second are a smooth ride.
MOVE_MS_MAX = 100
# For how long a person and two clients are away in the middle of their runs.
AWAY_SECONDS = float(os.environ.get("STUDIO_TEST_CUT_SECONDS", "1"))
AS_PROMPT = "() => app.graphToPrompt().then(({output}) => output)"


@pytest.fixture
def idle_afterwards(api) -> Iterator[None]:
    """Leave nothing to do, whatever happens."""
    yield
    api.post("/queue", json={"clear": True})
    api.post("/interrupt")


@pytest.mark.covers("R004", "R018", "R031")
def test_whoever_comes_for_the_first_time_finds_the_demo_open(opened, studio):
    took = opened[1]
    print(f"the editor was ready after {took:.1f} s")
    assert {node["type"] for node in studio.nodes()} >= {"KSampler", "ImageUpscaleWithModel", NOTE}
    assert studio.page.get_by_text("hanzo_demo").first.is_visible()
    assert took < LOAD_SECONDS_MAX * busy()
    studio.photograph("editor.png")


def test_the_templates_are_shown_and_open_by_a_click(studio: Studio):
    page = studio.page
    page.get_by_role("button", name="Templates", exact=True).click()
    page.get_by_text("Stable Diffusion XL", exact=True).wait_for()
    studio.wait_for(
        "() => [...document.querySelectorAll('[role=dialog] img')].some(i => i.naturalWidth >= 256)"
    )
    studio.photograph("templates.png")
    page.get_by_text("Stable Diffusion XL", exact=True).click()
    studio.wait_for("() => app.graph.nodes.some(n => n.widgets?.[0]?.value?.includes?.('sd_xl'))")


def test_every_template_is_drawn_without_a_missing_node_and_sends_its_example(studio: Studio, api):
    known = set(api.get("/object_info").json())
    names = [template.name for template in TEMPLATES]
    documents = {name: api.get(f"/templates/{name}.json").json() for name in names}
    for name, found in studio.page.evaluate(TRY, documents).items():
        assert {node["type"] for node in found["nodes"]} - known == {NOTE}
        boxes = [Box(*map(round, node["box"])) for node in found["nodes"]]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), name
        for number, (kind, inputs) in example(name).items():
            assert found["sent"][number]["class_type"] == kind
            assert found["sent"][number]["inputs"].items() >= inputs.items(), name


@pytest.mark.covers("R043")
def test_every_input_of_every_node_type_is_a_widget_that_is_sent_or_a_socket(studio: Studio, api):
    types = api.get("/object_info").json()
    found = studio.page.evaluate(EDIT)
    assert set(found) == set(types)
    for name, facts in found.items():
        sections = types[name]["input"]
        inputs = {**sections.get("required", {}), **sections.get("optional", {})}
        values = {key: value for key, value in facts["values"].items() if key in inputs}
        assert not set(inputs) - set(values) - set(facts["sockets"]), name
        assert values.items() <= facts["sent"].items(), name


@pytest.mark.covers("R044", "R250")
def test_a_node_type_that_is_plugged_in_is_wired_and_run_in_the_editor(studio: Studio, api):
    words = f"plugged {random.randrange(2**40)}"
    graph = {
        "1": {"class_type": "Word", "inputs": {"text": words}},
        "2": {"class_type": "Tell", "inputs": {}},
    }
    kept = api.post("/api/workflows", json={"name": "plugged", "workflow": graph}).json()
    studio.load(api.get(f"/templates/{kept['id']}.json").json(), "plugged")
    studio.fit()
    studio.wire("Word", 0, "Tell", 0)
    studio.run()

    def told() -> list[Any]:
        entries = api.get("/history").json().values()
        return [out for entry in entries for out in entry["outputs"].values() if "text" in out]

    wait_until(lambda: {"text": [words]} in told(), 20, "the plugged-in node tells the words")


def test_a_node_pack_s_script_runs_in_the_page_and_changes_its_node(studio: Studio, api):
    assert api.get("/extensions").json() == ["/extensions/paged_pack/paged.js"]
    studio.wait_for("() => document.documentElement.dataset.paged === 'yes'")
    made = "() => LiteGraph.createNode('PagedWord').title"
    assert studio.page.evaluate(made) == "named by a script of its pack"


@pytest.mark.covers("R046", "R375", "P03", "R245")
def test_500_nodes_are_drawn_moved_run_and_shown_in_the_history(studio: Studio, api):
    body = {"name": "long", "workflow": long_chain(500)}
    kept = api.post("/api/workflows", json=body).json()
    studio.load(api.get(f"/templates/{kept['id']}.json").json(), "long")
    assert len(studio.nodes()) == 500
    studio.fit()
    place = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset].join()"
    before = studio.page.evaluate(place)
    took = sorted(studio.page.evaluate(MOVE))
    assert studio.page.evaluate(place) != before
    assert took[len(took) // 2] < MOVE_MS_MAX * busy()
    studio.look_at("SaveImage")
    studio.run()
    assert studio.wait_for_picture()["pictures"] == [64]
    entry = next(reversed(api.get("/history").json().values()))
    assert (len(entry["prompt"][2]), entry["status"]["status_str"]) == (500, "success")
    studio.page.get_by_test_id("queue-overlay-toggle").click()
    studio.page.get_by_text("long_00001_").first.wait_for()
    studio.page.get_by_test_id("queue-overlay-toggle").click()


@pytest.mark.covers("R210", "R211")
def test_the_demo_runs_with_live_progress_and_its_picture_in_the_node(demo: Studio):
    demo.set("KSampler", steps=24, seed=random.randrange(2**40))
    demo.page.evaluate("() => { followed.progress = []; followed.nodes = [] }")
    demo.run()
    node = demo.wait_for_picture()
    assert node["pictures"] == [256]
    followed = demo.page.evaluate("() => followed")
    assert followed["progress"] == sorted(followed["progress"])
    assert followed["progress"][-1] == 24
    assert "KSampler" in followed["nodes"]
    demo.photograph("demo-run.png")


@pytest.mark.covers("R004", "R022", "R026")
def test_seven_nodes_are_added_and_wired_by_hand_and_run(studio: Studio):
    page = studio.page
    studio.load({"nodes": [], "links": [], "version": 0.4}, "by hand")
    kinds = ("CheckpointLoaderSimple", "CLIPTextEncode", "CLIPTextEncode", "EmptyLatentImage",
             "KSampler", "VAEDecode", "SaveImage")  # fmt: skip
    for number, kind in enumerate(kinds):
        place = [60 + 460 * (number // 2), 60 + 460 * (number % 2)]
        page.evaluate(
            """([type, pos]) => {
              const node = LiteGraph.createNode(type)
              node.pos = pos
              app.graph.add(node)
            }""",
            [kind, place],
        )
    studio.fit()
    wires = [
        ("CheckpointLoaderSimple", 1, "CLIPTextEncode", 0, 0),
        ("CheckpointLoaderSimple", 1, "CLIPTextEncode", 0, 1),
        ("CheckpointLoaderSimple", 0, "KSampler", 0, 0),
        ("EmptyLatentImage", 0, "KSampler", 3, 0),
        ("KSampler", 0, "VAEDecode", 0, 0),
        ("CheckpointLoaderSimple", 2, "VAEDecode", 1, 0),
        ("VAEDecode", 0, "SaveImage", 0, 0),
    ]
    studio.wire("CLIPTextEncode", 0, "KSampler", 1)
    for wire in wires:
        studio.wire(*wire)
    positive, negative = (n["id"] for n in studio.nodes() if n["type"] == "CLIPTextEncode")
    page.evaluate("id => app.graph.getNodeById(id).connect(0, app.graph.nodes[4], 2)", negative)
    studio.set("CLIPTextEncode", text="a fox in the snow")
    studio.set("CheckpointLoaderSimple", ckpt_name=DEMO)
    studio.set("EmptyLatentImage", width=64, height=64)
    studio.set("KSampler", steps=4)
    sent = page.evaluate(AS_PROMPT)
    sampler = next(node for node in sent.values() if node["class_type"] == "KSampler")
    assert sampler["inputs"]["positive"] == [str(positive), 0]
    studio.run()
    assert studio.wait_for_picture()["pictures"] == [64]


def released(api, suffix: str) -> bytes:
    """Return the newest picture of a kind."""
    entries = reversed(list(api.get("/history").json().values()))
    images = [i for e in entries for o in e["outputs"].values() for i in o.get("images", [])]
    image = next(i for i in images if i["filename"].endswith(suffix))
    return bytes(api.get("/view", params=image).content)


@pytest.mark.covers("R214", "R215", "R216")
@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_dropped_picture_opens_as_the_graph_that_made_it(demo: Studio, api, kind):
    demo.set("SaveImage", format=kind)
    demo.set("CLIPTextEncode", text=f"a {kind} star")
    before = demo.page.evaluate(AS_PROMPT)
    demo.run()
    demo.wait_for_picture()
    data = released(api, kind)
    demo.page.evaluate("() => app.graph.clear()")
    demo.drop(data, f"dropped.{kind}", f"image/{kind}")
    demo.wait_for("() => app.graph.nodes.length > 8")
    assert demo.page.evaluate(AS_PROMPT) == before
    assert NOTE in {node["type"] for node in demo.nodes()}


@pytest.mark.covers("R215", "R216")
def test_a_picture_of_a_hip35_client_opens_as_its_graph(studio: Studio, api):
    graph = json.loads((ROOT / "tests/data/hip35_example.json").read_text())
    graph["nodes"]["1"]["inputs"]["ckpt_name"] = DEMO
    graph["nodes"]["4"]["inputs"] |= {"width": 64, "height": 64}
    graph["nodes"]["5"]["inputs"] |= {"steps": 4, "seed": random.randrange(2**40)}
    prompt_id = api.post("/api/prompt", json={"prompt": graph}).json()["prompt_id"]
    wait_until(lambda: api.get(f"/history/{prompt_id}").json(), 60, "it is made")
    picture = released(api, ".png")
    studio.load({"nodes": [], "links": [], "version": 0.4}, "before")
    studio.drop(picture, "hip.png", "image/png")
    studio.wait_for("() => app.graph.nodes.length === 7")
    sent = studio.page.evaluate(AS_PROMPT)
    sampler = next(node for node in sent.values() if node["class_type"] == "KSampler")
    assert sampler["inputs"]["seed"] == graph["nodes"]["5"]["inputs"]["seed"]


@pytest.mark.covers("R028")
def test_a_workflow_is_shared_as_a_file(demo: Studio, other: Studio, tmp_path: Path):
    page = demo.page
    demo.set("CLIPTextEncode", text="a shared heart")
    before = page.evaluate(AS_PROMPT)
    with page.expect_download() as downloading:
        demo.command("Comfy.ExportWorkflow")
        page.get_by_role("dialog").get_by_role("textbox").fill("shared")
        page.get_by_role("button", name="Confirm").click()
    downloading.value.save_as(tmp_path / "shared.json")
    assert isinstance(json.loads((tmp_path / "shared.json").read_text())["nodes"], list)
    assert any(node["type"] == "KSampler" for node in other.nodes())
    other.page.evaluate("() => app.graph.clear()")
    other.drop((tmp_path / "shared.json").read_bytes(), "shared.json", "application/json")
    other.wait_for("() => app.graph.nodes.length > 8")
    assert other.page.evaluate(AS_PROMPT) == before
    other.run()
    assert other.wait_for_picture()["pictures"] == [256]


def test_a_workflow_is_saved_reopened_renamed_and_deleted(demo: Studio, api):
    page = demo.page
    page.keyboard.press("Control+s")
    page.get_by_role("dialog").get_by_role("textbox").fill("my fox")
    page.get_by_role("button", name="Confirm").click()
    page.get_by_test_id("workflows-tab-button").click()
    side = page.get_by_test_id("workflows-sidebar")
    side.get_by_text("my fox").wait_for()
    demo.command("Comfy.NewBlankWorkflow")
    demo.wait_for("() => app.graph.nodes.length === 0")
    side.get_by_text("my fox").click()
    demo.wait_for("() => app.graph.nodes.length > 8")
    side.get_by_text("my fox").click(button="right")
    page.get_by_role("menuitem", name="Rename").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("my panda")
    page.keyboard.press("Enter")
    side.get_by_text("my panda").wait_for()

    def kept() -> list[str]:
        return list(api.get("/userdata", params={"dir": "workflows"}).json())

    wait_until(lambda: "my panda.json" in kept(), 60, "the new name is kept")
    side.get_by_text("my panda").click(button="right")
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    side.get_by_text("my panda").wait_for(state="detached")
    page.get_by_test_id("workflows-tab-button").click()
    gone = api.get("/userdata", params={"dir": "workflows"})
    assert gone.status_code == 404 or "my panda.json" not in gone.json()


@pytest.mark.usefixtures("idle_afterwards")
def test_a_run_is_cancelled_the_queue_is_cleared_and_both_are_shown(demo: Studio, api):
    page = demo.page
    demo.set("KSampler", steps=2000)
    for _ in range(3):
        demo.run()
    wait_until(lambda: len(api.get("/queue").json()["queue_pending"]) == 2, 60, "two wait")
    demo.wait_for("() => app.graph.nodes.some(node => node.progress > 0)")
    page.get_by_test_id("queue-overlay-toggle").click()
    page.get_by_text("In queue").first.wait_for()
    page.get_by_text("2 queued").wait_for()
    demo.photograph("queue.png")
    page.get_by_role("button", name="Clear queued").click()
    wait_until(lambda: not api.get("/queue").json()["queue_pending"], 60, "nothing waits")
    page.get_by_role("button", name="Cancel current run").click()
    wait_until(lambda: not api.get("/queue").json()["queue_running"], 60, "nothing runs")
    ended = api.get("/api/jobs", params={"status": "cancelled", "limit": 1}).json()["jobs"]
    assert [job["status"] for job in ended] == ["cancelled"]
    # The history: finished pictures with their names, and the run that was cancelled.
    page.get_by_text(MADE).first.wait_for()
    page.get_by_text("Failed", exact=True).first.wait_for()
    page.get_by_test_id("queue-overlay-toggle").click()
    page.get_by_test_id("assets-tab-button").click()
    page.get_by_text(MADE).first.wait_for()
    page.get_by_test_id("assets-tab-button").click()


def test_a_dropped_photo_is_uploaded_and_its_mask_is_painted(studio: Studio, api):
    page = studio.page
    studio.load({"nodes": [], "links": [], "version": 0.4}, "mask")
    # The editor asks for the picture while it still sends it, and again afterwards.
    studio.tolerated += ("/api/view",)
    out = io.BytesIO()
    Image.new("RGB", (256, 256), "green").save(out, "PNG")
    studio.drop(out.getvalue(), "meadow one.png", "image/png")
    studio.wait_for_picture("LoadImage")
    studio.tolerated = studio.tolerated[:-1]
    page.evaluate("() => app.canvas.selectNode(app.graph.nodes[0])")
    studio.command("Comfy.MaskEditor.OpenMaskEditor")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Save").wait_for()
    studio.wait_for("() => document.querySelectorAll('[role=dialog] canvas').length > 2")
    page.wait_for_timeout(700)
    box = dialog.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 50, middle[1] + 20, steps=6)
    page.mouse.up()
    dialog.get_by_role("button", name="Save").click()
    studio.wait_for("() => /clipspace/.test(app.graph.nodes[0].widgets[0].value)")
    painted = studio.node("LoadImage")["widgets"]["image"]
    seen = api.get("/view", params={"filename": painted})
    alpha = Image.open(io.BytesIO(seen.content)).getchannel("A")
    assert alpha.getextrema() == (0, 255)


def test_the_info_of_a_node_is_our_own_page(demo: Studio):
    page = demo.page
    page.evaluate("() => app.canvas.selectNode(app.graph.nodes.find(n => n.type === 'KSampler'))")
    page.get_by_test_id("info-button").click()
    page.get_by_text("Denoise a latent, step by step").wait_for()
    demo.photograph("node-info.png")
    page.evaluate("() => app.canvas.deselectAll()")


@pytest.mark.covers("R208")
def test_two_people_and_twenty_clients_hear_of_their_own_runs_alone(
    demo: Studio, other: Studio, ada: Person, bea: Person, api
):
    other.load(api.get("/templates/hanzo_demo.json").json(), "demo")
    other.fit()
    numbers = ("--clients", "20", "--away-seconds", str(AWAY_SECONDS))
    with client("tests.bench.crowd", demo.url, *numbers) as sockets:
        for one in (ada, bea):
            one.begin_anew()
            one.studio.set("KSampler", steps=12, seed=random.randrange(2**40))
        mine, hers = ada.run(), bea.run()
        bea.wait_until_told(hers, "execution_start")
        bea.cut_off()
        other.page.wait_for_timeout(AWAY_SECONDS * 1000)
        bea.come_back()
        ada.wait_until_shown(mine)
        bea.wait_until_shown(hers)
        sockets.hear("connected", 60)
        told = sockets.hear("told", 120)
    assert [one.faults() for one in (ada, bea)] == [([], []), ([], [])]
    judged = {name: told[name] for name in ("wrong", "not_resumed", "dropped", "refused")}
    assert set(judged.values()) == {0}, judged
    assert told["cut_off"] == 2
