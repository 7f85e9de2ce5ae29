"""Packs of the newer protocol (`comfy_entrypoint`), loaded and executed without a house."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from libs.graph.refusal import GraphRefused
from libs.graph.schema import Catalogue
from libs.graph.sockets import input_config
from services.gpu_worker.packed import Packed, packed
from tests.unit.services.gpu_worker.test_packed import PackBench, facts_of, info

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).resolve().parents[3] / "data/second_packs"
RED = ("EmptyImage", {"width": 8, "height": 6, "batch_size": 2, "color": 0xFF0000})


@pytest.fixture(scope="module")
def loaded() -> Packed:
    return packed(FOLDER)


@pytest.fixture
def bench(loaded: Packed, monkeypatch: pytest.MonkeyPatch) -> PackBench:
    made = PackBench(loaded)
    monkeypatch.setattr("tests.unit.services.gpu_worker.semantics.World", made.context)
    return made


def test_its_classes_load_and_one_that_asks_for_what_is_not_there_says_so(loaded):
    told = facts_of(loaded)["second_pack"]
    assert (
        told["error"] == "SecondMany: the input several is a list of several choices (MultiCombo)"
    )
    assert set(cast("list[str]", told["types"])) == {
        *("SecondBright", "SecondChoice", "SecondJoin", "SecondSave", "SecondShow"),
        *("SecondSum", "SecondSwitch", "SecondTwice", "SecondWords"),
    }


def test_a_class_is_shown_as_its_schema_declares_it(loaded):
    entry = info(loaded, "SecondBright")
    assert (entry["display_name"], entry["category"]) == ("Second: Bright", "second/colour")
    assert entry["description"] == "Makes a picture brighter."
    assert (entry["output"], entry["output_name"]) == (["IMAGE", "MASK"], ["picture", "MASK"])
    assert entry["experimental"] is True
    required, optional = entry["input"]["required"], entry["input"]["optional"]
    assert list(required) == ["image", "strength", "mode"]
    assert required["strength"][1] == {
        "default": 1.0,
        "min": 0.0,
        "max": 2.0,
        "step": 0.05,
        "display": "slider",
    }
    assert required["mode"] == [["full", "half"], {"default": "half"}]
    assert optional["seed"][1]["forceInput"] is True
    checkpoint = loaded.types["SecondBright"].schema.inputs_by_name["checkpoint"]
    assert input_config(checkpoint, Catalogue({}, {"checkpoints": ("new",)}))[0] == ["new"]
    switch = info(loaded, "SecondSwitch")["input"]
    assert switch["required"]["yes"] == ["*", {"lazy": True}]
    assert switch["optional"]["no"][0] == "STRING,INT"
    assert switch["optional"]["note"][0] == "SECOND_NOTE"
    assert info(loaded, "SecondSwitch")["output"] == ["*", "SECOND_PIPE"]
    assert info(loaded, "SecondWords")["deprecated"] is True
    assert info(loaded, "SecondShow")["input"]["hidden"]["hidden_prompt"] == "PROMPT"


def test_pictures_are_changed_and_saved(bench):
    bench.context("c").prompt = {"c": {"class_type": "SecondSave"}}
    bench.run(
        a=RED,
        b=("SecondBright", {"image": ["a", 0], "strength": 1.0, "mode": "half"}),
        c=("SecondSave", {"images": ["b", 0], "keep": True}),
        d=("SecondSave", {"images": ["a", 0], "keep": False}),
    )
    first, second = bench.contexts["c"].saved
    assert (first.filename_prefix, first.mime, first.folder) == (
        "second/shot",
        "image/png",
        "output",
    )
    picture: Any = Image.open(io.BytesIO(second.data))
    assert picture.getpixel((1, 1)) == (127, 0, 0)
    assert json.loads(picture.text["prompt"])["c"]["class_type"] == "SecondSave"
    assert [file.folder for file in bench.contexts["d"].saved] == ["temp", "temp"]


def test_hidden_inputs_lie_in_the_class_and_what_a_call_writes_there_goes_with_it(bench):
    shown = bench.shown(d=("SecondShow", {"value": 3, "prompt": "mine"}))
    assert shown == ["3", "mine", "dict", "None"]


def test_inputs_that_grow_are_handed_over_as_one(bench):
    graph: dict[str, Any] = {
        "a": (
            "SecondSum",
            {"operands.operand0": 2, "operands.operand1": 3, "operands.operand3": 5},
        ),
        "d": ("SecondShow", {"value": ["a", 0]}),
    }
    assert bench.shown(**graph)[0] == "10"
    graph["a"][1]["operands.operand1"] = 13
    with pytest.raises(GraphRefused) as refused:
        bench.shown(**graph)
    assert "13 is no number" in json.dumps(refused.value.node_errors)
    del graph["a"][1]["operands.operand1"]
    with pytest.raises(GraphRefused, match="failed validation"):
        bench.shown(**graph)


def test_a_choice_brings_its_own_inputs_alone(bench):
    def chosen(**inputs: Any) -> Any:
        return bench.shown(a=("SecondChoice", inputs), d=("SecondShow", {"value": ["a", 0]}))[0]

    assert chosen(mode="none", **{"mode.length": 4}) == "mode=none"
    assert chosen(mode="cut", **{"mode.length": 4}) == "length=4,mode=cut,word=-"
    with pytest.raises(GraphRefused):
        chosen(mode="cut", **{"mode.length": 10})


def test_only_what_a_lazy_node_asks_for_is_executed(bench):
    graph: dict[str, Any] = {
        "b": ("SecondWords", {"text": "never", "always": True}),
        "c": ("SecondSwitch", {"on": True, "yes": "x", "no": ["b", 1]}),
        "d": ("SecondShow", {"value": ["c", 0]}),
    }
    told = bench.run(**graph)
    assert told.ui["d"]["text"][0] == "x"
    assert "b" not in told.executed


def test_lists_are_made_and_taken_and_a_class_says_when_it_changes(bench: PackBench):
    def joined(text: str, *, always: bool) -> tuple[str, int]:
        told = bench.run(
            a=("SecondWords", {"text": text, "always": always}),
            c=("SecondJoin", {"texts": ["a", 0], "between": "+"}),
            d=("SecondShow", {"value": ["c", 0]}),
            e=("SecondShow", {"value": ["a", 1]}),
        )
        return told.ui["d"]["text"][0], int(told.ui["e"]["text"][0])

    assert joined("one two", always=False) == joined("one two", always=False)
    first, second = joined("x y", always=True), joined("x y", always=True)
    assert (first[0], second[1] - first[1]) == ("x+y", 1)
    with pytest.raises(GraphRefused) as refused:
        joined("bad", always=False)
    assert "that is a bad word" in json.dumps(refused.value.node_errors)


def test_a_node_expands_or_holds_up_what_follows(bench):
    def twice(*, stop: bool) -> Any:
        return bench.run(
            n=("SecondSum", {"operands.operand0": 2, "operands.operand1": 1}),
            a=("SecondTwice", {"number": ["n", 0], "stop": stop}),
            d=("SecondShow", {"value": ["a", 0]}),
        ).ui

    assert twice(stop=False)["d"]["text"][0] == "6"
    assert "d" not in twice(stop=True)
    assert ("d", "no way") in bench.heard.of("blocked")
