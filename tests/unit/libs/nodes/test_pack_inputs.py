"""Inputs of a pack's class as the editor reads them."""

from __future__ import annotations

from typing import Any, cast

from libs.graph.schema import Catalogue
from libs.graph.sockets import input_config
from libs.nodes.dialects import object_info_entry
from libs.nodes.packs.adapter import node_type
from libs.nodes.packs.inputs import inputs_of


class Picks:
    """A class of a pack, some of whose outputs are choices."""

    RETURN_TYPES = (["euler", "heun"], "INT", "INT")
    RETURN_NAMES = ("sampler",)
    OUTPUT_IS_LIST = (False, True)
    FUNCTION = "pick"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - as ComfyUI asks for it
        return {"required": {"sampler": (["euler", "heun"],)}, "hidden": {"me": "UNIQUE_ID"}}

    def pick(self, sampler: str, me: str) -> tuple[str, list[int], int]:
        return sampler, [1], len(me)


def test_an_output_that_is_a_choice_is_told_as_one_and_every_output_has_a_name_of_its_own():
    schema = node_type("Picks", Picks, "Picks", cast("Any", None)).schema
    entry = object_info_entry(schema, Catalogue({}))
    assert entry["output"] == ["COMBO", "INT", "INT"]
    assert entry["output_name"] == ["sampler", "INT", "INT_2"]
    assert entry["output_is_list"] == [False, True, False]
    assert entry["output_node"] is False
    assert (entry["python_module"], entry["category"]) == ("nodes", "node packs")


def test_further_hints_reach_the_editor_and_what_nobody_could_use_does_not():
    told = {
        "required": {
            "mode": ("COMBO", {"options": ["a", "b"], "default": "b", "multi_select": True}),
            "word": ("STRING", {"placeholder": "a word", "display_name": "Word", "hidden": True}),
            "seed": ("INT", {"control_after_generate": "fixed", "widgetType": "KNOB"}),
            "amount": (
                "FLOAT",
                {"socketless": True, "defaultInput": True, "remote": {"route": "/"}},
            ),
            "sound": (["x.wav"], {"audio_upload": True, "video_upload": True, "placeholder": 3}),
        }
    }
    shown = {spec.name: input_config(spec, Catalogue({})) for spec in inputs_of(told)}
    assert shown == {
        "mode": [["a", "b"], {"default": "b"}],
        "word": ["STRING", {"placeholder": "a word", "display_name": "Word", "hidden": True}],
        "seed": ["INT", {"control_after_generate": "fixed", "widgetType": "KNOB"}],
        "amount": ["FLOAT", {"socketless": True, "defaultInput": True}],
        "sound": [["x.wav"], {}],
    }
