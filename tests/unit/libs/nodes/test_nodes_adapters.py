"""The nodes of LoRA, ControlNet and IP-Adapter: their inputs, and what they ask of the values."""

from __future__ import annotations

from typing import Any

import pytest

from libs.core.errors import Refused
from libs.nodes import control, ip_adapter, lora, merging
from libs.nodes.registry import schemas


def inputs(name) -> dict[str, tuple[str, bool]]:
    return {one.name: (one.type, one.required) for one in schemas()[name].inputs}


@pytest.mark.covers("R161", "R162")
def test_a_lora_has_a_strength_for_the_model_and_one_for_the_text():
    assert inputs("LoraLoader") == {
        "model": ("MODEL", True),
        "clip": ("CLIP", True),
        "lora_name": ("COMBO", True),
        "strength_model": ("FLOAT", True),
        "strength_clip": ("FLOAT", True),
    }
    assert [one.type for one in schemas()["LoraLoader"].outputs] == ["MODEL", "CLIP"]


@pytest.mark.covers("R172", "R174")
def test_a_control_net_is_loaded_and_applied_to_a_text():
    assert inputs("ControlNetLoader") == {"control_net_name": ("COMBO", True)}
    assert schemas()["ControlNetLoader"].outputs[0].type == "CONTROL_NET"
    assert inputs("ControlNetApply") == {
        "conditioning": ("CONDITIONING", True),
        "control_net": ("CONTROL_NET", True),
        "image": ("IMAGE", True),
        "strength": ("FLOAT", True),
    }


@pytest.mark.covers("R180")
def test_an_example_needs_four_inputs_and_takes_more():
    required = [name for name, (_, needed) in inputs("IPAdapterApply").items() if needed]
    assert required == ["model", "image", "weight", "noise"]
    optional = [name for name, (_, needed) in inputs("IPAdapterApply").items() if not needed]
    assert optional == ["ipadapter", "clip_vision", "variant", "start_at", "end_at"]
    assert schemas()["IPAdapterApply"].outputs[0].type == "MODEL"


class Told:
    """A value that says what was asked of it."""

    family = "sd1"
    sees_by = "vit-h"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        def ask(*given: Any, **named: Any) -> Any:
            self.asked.append((name, *given, *named.items()))
            return (self, self) if name == "applied_to_all" else self

        return ask


class Folder:
    """A context that loads nothing but says what it was asked for."""

    def __init__(self) -> None:
        self.loader = Told()
        self.named: list[tuple[str, str]] = []

    def weights(self, folder: str, name: str) -> str:
        self.named.append((folder, name))
        return f"{folder}/{name}"


@pytest.mark.covers("R088")
def test_a_lora_is_loaded_once_and_applied_where_it_is_wanted():
    context: Any = Folder()
    model: Any = Told()
    clip: Any = Told()
    assert lora.load_lora_alone(context, lora_name="pixel_art_v2.safetensors") is context.loader
    assert context.named == [("loras", "pixel_art_v2.safetensors")]
    assert schemas()["LoraModelLoader"].outputs[0].type == "LORA"

    class Changes:
        def applied(self, *given: Any) -> Any:
            self.given = given
            return given[0], None

    changes: Any = Changes()
    adapted = lora.apply_lora(
        model=model, clip=clip, lora=changes, strength_model=0.8, strength_clip=0.5
    )
    assert changes.given == (model, clip, 0.8, 0.5)
    assert adapted == (model, clip)


def test_without_an_adapter_the_variants_own_file_is_read():
    context: Any = Folder()
    model: Any = Told()
    image: Any = object()
    ip_adapter.apply_ip_adapter(
        context, model=model, image=image, weight=0.7, noise=0.3, variant="ip-adapter-face"
    )
    assert context.named == [
        ("ipadapter", "ip-adapter-plus-face_sd15.safetensors"),
        ("clip_vision", ip_adapter.VISION_FILES["vit-h"]),
    ]
    assert ip_adapter.apply_ip_adapter(context, model=model, image=image, weight=0.0) is model
    wide: Any = Told()
    wide.sees_by = "vit-bigg"
    ip_adapter.apply_ip_adapter(context, model=model, image=image, ipadapter=wide)
    assert context.named[-1] == ("clip_vision", "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors")
    other: Any = Told()
    other.family = "flux_dev"
    with pytest.raises(Refused, match="connect one"):
        ip_adapter.apply_ip_adapter(context, model=other, image=image)


def test_blends_are_shares_of_both():
    one: Any = Told()
    two: Any = Told()
    merging.merge_models(model1=one, model2=two, ratio=0.25)
    merging.merge_models_by_block(model1=one, model2=two, input=0.1, middle=0.5, out=0.75)
    merging.subtract_models(model1=one, model2=two, multiplier=2.0)
    merging.add_models(model1=one, model2=two)
    merging.merge_clips(clip1=one, clip2=two, ratio=0.25)
    assert one.asked == [
        ("blended", two, {"": (0.25, 0.75)}),
        ("blended", two, {"": (0.1, 0.9), "middle": (0.5, 0.5), "out": (0.75, 0.25)}),
        ("blended", two, {"": (2.0, -2.0)}),
        ("blended", two, {"": (1.0, 1.0)}),
        ("blended", two, 0.25, 0.75),
    ]


def test_a_control_net_leads_both_sides():
    net: Any = Told()
    text: Any = object()
    image: Any = object()
    control.apply_control_net(conditioning=text, control_net=net, image=image, strength=0.75)
    led = control.apply_control_net_in_part(
        positive=text, negative=text, control_net=net, image=image, start_percent=0.2
    )
    control.tell_type(control_net=net, type="depth")
    assert led == (net, net)
    assert net.asked == [
        ("applied", text, image, 0.75, ("both_sides", True)),
        ("applied_to_all", (text, text), image, 1.0, 0.2, 1.0, None),
        ("of_type", "depth"),
    ]
