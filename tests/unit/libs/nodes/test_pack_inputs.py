"""Inputs of a pack's class as the editor reads them."""

from __future__ import annotations

from libs.graph.schema import Catalogue
from libs.graph.sockets import input_config
from libs.nodes.packs.inputs import inputs_of


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
