"""The workflows that ship: drawn by code from graphs that are tested, and whole."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from libs.graph.architectures import ARCHITECTURES
from libs.graph.drawing import is_widget, shown_order
from libs.graph.placing import Box
from libs.graph.sockets import fits
from libs.graph.value import Link
from libs.nodes.registry import schemas
from libs.nodes.templates import BY_NAME, DEMO, TEMPLATES, document, index

NOTE = "MarkdownNote"
NAMES = [template.name for template in TEMPLATES]


def drawing(name: str) -> Any:
    return document(name)


def nodes_of(name: str) -> dict[int, Any]:
    return {node["id"]: node for node in drawing(name)["nodes"] if node["type"] != NOTE}


def as_graph(name: str) -> dict[str, Any]:
    """Read a document back as the editor does when it sends a prompt."""
    nodes = nodes_of(name)
    links = {link[0]: link for link in drawing(name)["links"]}
    types = schemas()
    read: dict[str, Any] = {}
    for number, node in nodes.items():
        values = iter(node["widgets_values"])
        inputs: dict[str, Any] = {}
        for spec in shown_order(types[node["type"]]):
            if not is_widget(spec):
                continue
            inputs[spec.name] = next(values)
            if spec.name in ("seed", "noise_seed"):
                assert next(values) == "randomize"
        for slot in node["inputs"]:
            if slot["link"] is not None:
                _, source, output, *_ = links[slot["link"]]
                inputs[slot["name"]] = [str(source), output]
        read[str(number)] = {"class_type": node["type"], "inputs": inputs}
    return read


def test_every_architecture_has_a_template_and_the_demo_comes_first():
    groups: Any = index()
    listed = [one["name"] for group in groups for one in group["templates"]]
    assert listed == NAMES
    assert listed[0] == DEMO
    assert {facts.name for facts in ARCHITECTURES} == {one.architecture for one in TEMPLATES}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_its_example_and_no_node_is_missing(name):
    types = schemas()
    numbers = {node_id: str(n) for n, node_id in enumerate(BY_NAME[name].graph.nodes, 1)}
    read = as_graph(name)
    for node in BY_NAME[name].graph.nodes.values():
        assert node.type in types
        inputs = read[numbers[node.id]]["inputs"]
        for key, value in node.inputs.items():
            if isinstance(value, Link):
                assert inputs[key][0] == numbers[value.node_id]
            else:
                upload = types[node.type].inputs_by_name[key].image_upload
                assert inputs[key] == ("" if upload else value)


@pytest.mark.parametrize("name", NAMES)
def test_every_wire_of_a_template_is_typed_and_fits_at_both_ends(name):
    nodes = nodes_of(name)
    links = drawing(name)["links"]
    assert len({link[0] for link in links}) == len(links) == drawing(name)["last_link_id"]
    for number, source, output, target, slot, kind in links:
        given, taken = nodes[source]["outputs"][output], nodes[target]["inputs"][slot]
        assert given["type"] == kind
        assert fits(kind, taken["type"])
        assert number in given["links"]
        assert taken["link"] == number


@pytest.mark.parametrize("name", NAMES)
def test_the_nodes_of_a_template_do_not_overlap(name):
    boxes = [
        # The title stands above the node's own place.
        Box(node["pos"][0], node["pos"][1] - 30, node["size"][0], node["size"][1] + 30)
        for node in drawing(name)["nodes"]
    ]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_a_text_is_titled_by_the_side_that_it_is_for():
    titles = {node.get("title") for node in nodes_of("sd15").values()}
    assert {"CLIP Text Encode (positive)", "CLIP Text Encode (negative)"} <= {
        title for title in titles if title
    }


def test_the_note_names_the_folder_of_every_file():
    (note,) = (node for node in drawing("flux_dev")["nodes"] if node["type"] == NOTE)
    assert "`diffusion_models/flux1-dev.safetensors`" in note["widgets_values"][0]
    assert "`vae/ae.safetensors`" in note["widgets_values"][0]
