"""Packs written for ComfyUI's class protocol, loaded from a folder and executed without a house."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from libs.graph.refusal import GraphRefused
from libs.graph.schema import Catalogue
from libs.graph.schema_json import from_json
from libs.graph.sockets import input_config
from libs.nodes.context import Interrupted
from libs.nodes.dialects import object_info_entry
from libs.nodes.packs.loading import GROUP
from libs.sampling.conditioning import Area, Conditioning, Entry
from services.gpu_worker.executor import Executor
from services.gpu_worker.failing import NodeFailed
from services.gpu_worker.packed import Packed, packed
from services.gpu_worker.results import ResultMemory
from tests.unit.libs.nodes.fakes import FakeContext, Recorder
from tests.unit.services.gpu_worker.semantics import Bench, Heard

torch = pytest.importorskip("torch")
from libs.diffusion.offered.exchange import TorchExchange  # noqa: E402
from libs.diffusion.values import Latents, Mask, Picture  # noqa: E402

FOLDER = Path(__file__).resolve().parents[3] / "data/node_packs"


class World(FakeContext):
    """A world that gives pictures as uploads, and red ones for empty ones."""

    def __init__(self, node_id: str) -> None:
        red = torch.tensor([1.0, 0.0, 0.0]).expand(2, 6, 8, 3)
        super().__init__(loader=Recorder("loader", blank_image=Picture(red)), node_id=node_id)

    def read_input(self, name: str) -> bytes:
        made = io.BytesIO()
        Image.new("RGB", (6, 4), (255, 0, 0)).save(made, "PNG")
        return made.getvalue()


class PackBench(Bench):
    """Executes nodes of packs; what they save stays here."""

    def __init__(self, found: Packed) -> None:
        super().__init__(found.types)
        self.executor = Executor(found.types, ResultMemory(2**24))
        self.contexts: dict[str, World] = {}

    def context(self, node_id: str) -> Any:
        return self.contexts.setdefault(node_id, World(node_id=node_id))


@pytest.fixture(scope="module")
def loaded() -> Packed:
    return packed(FOLDER)


@pytest.fixture
def bench(loaded: Packed, monkeypatch: pytest.MonkeyPatch) -> PackBench:
    made = PackBench(loaded)
    monkeypatch.setattr("tests.unit.services.gpu_worker.semantics.World", made.context)
    return made


def facts_of(found: Packed) -> dict[str, JsonObject]:
    listed = cast("list[JsonObject]", found.facts["packs"])
    return {str(one["name"]): one for one in listed}


def info(found: Packed, name: str) -> dict[str, Any]:
    schema = found.types[name].schema
    return cast("dict[str, Any]", object_info_entry(schema, Catalogue({name: schema})))


def test_every_pack_is_told_of_and_one_that_fails_says_why(loaded):
    facts = facts_of(loaded)
    assert facts["bright_pack"] == {
        "name": "bright_pack",
        "types": sorted(name for name in loaded.types if name.startswith("Bright")),
        "error": "",
    }
    lost, deep = facts["lost_pack"], facts["deep_pack"]
    assert "needs the Python package a_package_that_nobody_has" in str(lost["error"])
    assert "needs the module comfy.ldm, which this engine does not offer" in str(deep["error"])
    assert "ended the program" in str(facts["leaving_pack"]["error"])
    half = facts["half_pack"]
    assert half["types"] == ["HalfGood"]
    assert "HalfRaising: RuntimeError: no list today" in str(half["error"])
    assert "KSampler: there is a node type of that name already" in str(half["error"])
    assert loaded.types["KSampler"].schema.function.startswith("libs.nodes.")


def test_the_house_reads_the_types_from_what_the_engine_says(loaded):
    told = [from_json(one) for one in json.loads(loaded.blobs[0])]
    assert {one.type for one in told} == set(loaded.types) - set(packed(Path("/none")).types)
    assert all(loaded.types[one.type].schema == one for one in told)
    assert loaded.digest


def test_without_a_folder_nothing_is_said(tmp_path):
    found = packed(tmp_path / "none")
    assert (found.facts, found.blobs, found.digest) == ({}, (), "")


def test_a_class_is_shown_as_it_declares_itself(loaded):
    entry = info(loaded, "BrightInvert")
    assert entry["display_name"] == "Bright: Invert"
    assert entry["category"] == "bright/colour"
    assert entry["output"] == ["IMAGE", "MASK"]
    assert entry["output_name"] == ["picture", "grey"]
    assert entry["output_tooltips"] == ["The other way round.", "Its brightness."]
    assert entry["experimental"] is True
    assert entry["input_order"]["required"] == ["image", "strength", "mode", "sampler"]
    required = entry["input"]["required"]
    assert required["strength"] == [
        "FLOAT",
        {"default": 1.0, "min": 0.0, "max": 2.0, "step": 0.05, "round": 0.01, "display": "slider"},
    ]
    assert required["mode"] == [["full", "half"], {"default": "full"}]
    assert "euler" in required["sampler"][0]
    width = entry["input"]["optional"]["width"]
    assert width == ["INT", {"default": 0, "max": 16384, "forceInput": True}]
    assert entry["input"]["hidden"] == {"unique_id": "UNIQUE_ID", "prompt": "PROMPT"}
    switch = info(loaded, "WordSwitch")["input"]["required"]
    assert switch["on"][1] == {"default": True, "label_on": "yes", "label_off": "no"}
    assert switch["yes"] == ["*", {"lazy": True}]
    assert info(loaded, "WordJudge")["deprecated"] is True


def test_lists_of_files_follow_the_folders_of_the_house(loaded):
    schema = loaded.types["BrightCheckpointName"].schema
    lists = {"checkpoints": ("new.safetensors",)}
    name, lora = schema.inputs
    assert input_config(name, Catalogue({}, lists)) == [["new.safetensors"], {}]
    assert lora.choices is None
    assert lora.options is not None
    assert lora.options[0] == "None"
    assert loaded.types["BrightLoad"].schema.inputs[0].choices == "input"


def test_pictures_cross_the_border_both_ways(bench):
    bench.run(
        a=("EmptyImage", {"width": 8, "height": 6, "batch_size": 2, "color": 0xFF0000}),
        b=("BrightInvert", {"image": ["a", 0], "strength": 0.5, "mode": "half", "sampler": "euler"}),
        c=("BrightSave", {"images": ["b", 0], "prefix": "sub/shot"}),
        d=("MaskToImage", {"mask": ["b", 1]}),
        e=("BrightSave", {"images": ["d", 0], "prefix": "grey"}),
    )  # fmt: skip
    first, second = bench.contexts["c"].saved
    assert (first.filename_prefix, first.extension, first.mime) == ("sub/shot", "png", "image/png")
    assert (first.width, first.height, first.folder) == (4, 3, "output")
    picture = Image.open(io.BytesIO(second.data))
    assert picture.size == (4, 3)
    assert picture.getpixel((1, 1)) == (0, 127, 127)
    assert bench.contexts["b"].steps == [(1, 2), (2, 2)]
    assert len(bench.contexts["e"].saved) == 2


def test_what_an_object_keeps_stays_with_its_node(bench):
    graph: dict[str, Any] = {
        "a": ("EmptyImage", {"width": 8, "height": 6, "batch_size": 1, "color": 0}),
        "c": ("BrightSave", {"images": ["a", 0], "prefix": "x"}),
    }
    assert bench.run(**graph).ui["c"]["text"] == ["call 1"]
    graph["c"] = ("BrightSave", {"images": ["a", 0], "prefix": "y"})
    assert bench.run(**graph).ui["c"]["text"] == ["call 2"]
    assert [file.filename_prefix for file in bench.contexts["c"].saved] == ["x", "x", "y", "y"]


def test_an_upload_is_brought_to_the_folder_of_the_node_that_names_it(bench):
    bench.run(
        a=("BrightLoad", {"image": "cat.png"}),
        b=("BrightSave", {"images": ["a", 0], "prefix": "cat"}),
    )
    (file,) = bench.contexts["b"].saved
    assert Image.open(io.BytesIO(file.data)).getpixel((0, 0)) == (255, 0, 0)


def test_latents_and_texts_come_back_as_they_went():
    exchange = TorchExchange()
    latents = Latents(torch.ones(2, 4, 8, 8), Mask(torch.zeros(1, 64, 64)), (3, 5))
    theirs = exchange.theirs(latents)
    assert theirs["noise_mask"].shape == (1, 1, 64, 64)
    changed = exchange.ours({**theirs, "samples": theirs["samples"] * 3}, "LATENT")
    assert changed.samples.mean() == 3
    assert changed.mask.values.shape == (1, 64, 64)
    assert changed.batch_index == (3, 5)
    entry = Entry(torch.ones(1, 2, 4), torch.ones(1, 4), area=Area(4, 5, 6, 7), extras={"k": 1})
    given = exchange.theirs(Conditioning((entry,)))
    assert given[0][1]["area"] == (4, 5, 6, 7)
    told = {**given[0][1], "strength": 0.5, "mask": torch.ones(64, 64)}
    (back,) = exchange.ours([[given[0][0] * 2, told]], "CONDITIONING").entries
    assert (back.area, back.strength, back.extras) == (entry.area, 0.5, {"k": 1})
    assert back.context.mean() == 2
    assert back.mask.values.shape == (1, 64, 64)
    with pytest.raises(Refused):
        exchange.ours(["no text"], "CONDITIONING")
    with pytest.raises(Refused):
        exchange.ours(torch.ones(4, 4), "IMAGE")


@pytest.mark.covers("R065", "R209", "R210", "R211", "R212")
def test_words_are_split_mapped_and_joined(bench):
    shown = bench.shown(
        a=("WordSplit", {"text": "one two"}),
        b=("WordUpper", {"text": ["a", 0]}),
        c=("WordJoin", {"texts": ["b", 0], "between": "+"}),
        d=("WordShow", {"text": ["c", 0]}),
    )
    assert shown == ["ONE+TWO"]


def test_inputs_that_nobody_declared_reach_kwargs(bench):
    shown = bench.shown(d=("WordShow", {"text": "a", "more": 3}))
    assert shown == ["a", "more=3"]


def test_only_what_a_lazy_node_asks_for_is_executed(bench):
    graph: dict[str, Any] = {
        "a": ("WordGlue", {"a": "x", "b": "y"}),
        "b": ("WordStop", {"text": "never"}),
        "c": ("WordSwitch", {"on": True, "yes": ["a", 0], "no": ["b", 0]}),
        "d": ("WordShow", {"text": ["c", 0]}),
    }
    told = bench.run(**graph)
    assert told.ui["d"] == {"text": ["xy"]}
    assert "b" not in told.executed


def test_a_class_judges_its_inputs_and_says_when_it_changes(bench: PackBench):
    def once(text: str, kind: str) -> list[str]:
        return bench.shown(
            a=("WordJudge", {"text": text, "kind": kind}), d=("WordShow", {"text": ["a", 0]})
        )

    with pytest.raises(GraphRefused) as refused:
        once("bad", "plain")
    assert "that is a bad word" in json.dumps(refused.value.node_errors)
    assert once("a", "plain") == once("a", "plain")
    assert once("a", "loud") != once("a", "loud")


def test_a_node_expands_into_others(bench):
    shown = bench.shown(
        a=("WordGlue", {"a": "o", "b": "k"}),
        b=("WordTwice", {"text": ["a", 0]}),
        d=("WordShow", {"text": ["b", 0]}),
    )
    assert shown == ["OKok"]
    assert any(one.startswith("b.") for one in bench.heard.places)


def test_a_blocked_value_holds_up_what_needs_it(bench):
    told = bench.run(
        a=("WordStop", {"text": "way"}),
        d=("WordShow", {"text": ["a", 0]}),
        e=("WordShow", {"text": "on"}),
    )
    assert told.ui == {"e": {"text": ["on"]}}
    assert bench.heard.of("blocked") == [("d", "no way")]
    assert isinstance(bench.heard, Heard)


RUDE = """
import os, folder_paths
class Rude:
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    FUNCTION = "run"
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"name": ("STRING", {})}}
    def run(self, name):
        where = folder_paths.get_temp_directory()
        with open(os.path.join(where, "note.txt"), "wb") as file:
            file.write(b"\\x89PNG\\r\\n\\x1a\\n and no more")
        return {"ui": {"images": [{"filename": name, "subfolder": "", "type": "temp"}]}}
NODE_CLASS_MAPPINGS = {"Rude": Rude}
"""


def test_a_picture_under_another_name_is_told_as_one_and_no_file_from_elsewhere_is_taken(
    tmp_path, monkeypatch
):
    (tmp_path / "rude.py").write_text(RUDE)
    made = PackBench(packed(tmp_path))
    monkeypatch.setattr("tests.unit.services.gpu_worker.semantics.World", made.context)
    made.run(a=("Rude", {"name": "note.txt"}))
    (file,) = made.contexts["a"].saved
    assert (file.mime, file.extension, file.folder) == ("image/png", "txt", "temp")
    for name in ("../../../../etc/hostname", "/etc/hostname", "gone.png"):
        with pytest.raises(NodeFailed, match="did not write"):
            made.run(a=("Rude", {"name": name}))
    assert len(made.contexts["a"].saved) == 1


def test_a_package_brings_a_pack_with_an_entry_point(tmp_path, monkeypatch):
    about = tmp_path / "their_pack-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: their-pack\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\ntheirs = their_pack_module\n")
    (tmp_path / "their_pack_module.py").write_text(RUDE.replace('"Rude"', '"Theirs"'))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = packed(tmp_path / "no_folder")
    assert facts_of(found)["theirs"] == {"name": "theirs", "types": ["Theirs"], "error": ""}


def test_a_folder_that_is_no_pack_of_the_protocol_says_so(tmp_path):
    (tmp_path / "newer.py").write_text("async def comfy_entrypoint():\n    return None\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "_left.py").write_text("raise ValueError")
    facts = facts_of(packed(tmp_path))
    assert sorted(facts) == ["empty", "newer"]
    assert facts["newer"]["error"] == "get_node_list returned no list"
    assert facts["empty"]["error"] == "it has no NODE_CLASS_MAPPINGS and no comfy_entrypoint"


WALK = """
import comfy.model_management, comfy.utils
class Walk:
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    FUNCTION = "run"
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"steps": ("INT", {"default": 3, "max": 10})}}
    def run(self, steps):
        bar = comfy.utils.ProgressBar(steps)
        for number in range(steps):
            comfy.model_management.throw_exception_if_processing_interrupted()
            bar.update_absolute(number + 1, steps)
        return ()
NODE_CLASS_MAPPINGS = {"Walk": Walk}
"""


class Stopped(World):
    """A world in which a run is stopped after its second step."""

    def step(self, value: int, total: int, preview: Any = None) -> None:
        super().step(value, total)
        if value == 2:
            raise Interrupted("stopped")


def test_a_run_is_stopped_between_two_steps_of_a_pack_s_node(tmp_path, monkeypatch):
    (tmp_path / "walk.py").write_text(WALK)
    made = PackBench(packed(tmp_path))
    made.contexts["a"] = Stopped("a")
    monkeypatch.setattr("tests.unit.services.gpu_worker.semantics.World", made.context)
    with pytest.raises(Interrupted):
        made.run(a=("Walk", {"steps": 3}))
    assert made.contexts["a"].steps[-1] == (2, 3)
    with pytest.raises(GraphRefused, match="failed validation"):
        made.run(a=("Walk", {"steps": 11}))
