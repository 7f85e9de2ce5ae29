"""A graph says the same in both dialects, and always in the same bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings

from libs.graph.check import check
from libs.graph.parse import parse
from libs.graph.refusal import GraphRefused
from libs.graph.render import canonical, document, to_comfy, to_hip35
from tests.unit.libs.graph.sample import CATALOGUE, COMFY, HIP35, changed, comfy, hip35, used
from tests.unit.libs.graph.strategies import right_prompts, wild_prompts


@pytest.mark.covers("R094", "R099")
def test_the_example_reads_the_same_from_either_dialect():
    assert to_comfy(parse(hip35()), CATALOGUE) == COMFY
    assert to_hip35(parse(comfy()), CATALOGUE) == HIP35


@pytest.mark.covers("R078")
def test_names_of_outputs_match_whatever_their_case():
    prompt = hip35()
    prompt["nodes"]["2"]["inputs"]["clip"] = ["1", "cLiP"]
    assert to_comfy(parse(prompt), CATALOGUE) == COMFY


def test_titles_and_wrapped_lists_survive_both_dialects():
    prompt: Any = {"a:1": {**used("Chain", extra={"__value__": ["b", 0]}), "_meta": {"title": "T"}}}
    there = to_hip35(parse(prompt), CATALOGUE)
    assert to_comfy(parse(there), CATALOGUE) == prompt


def test_a_link_that_leads_nowhere_is_rendered_as_it_was_written():
    prompt = {"1": used("Chain", image=["9", "X"], other=[1, 2, 3])}
    assert to_comfy(parse(prompt), CATALOGUE) == prompt


@settings(deadline=None, max_examples=80)
@given(wild_prompts() | right_prompts())
def test_rendering_and_reading_again_loses_nothing(prompt: dict[str, Any]):
    try:
        graph = parse(prompt)
    except GraphRefused:
        assume(False)
    flat, named = to_comfy(graph, CATALOGUE), to_hip35(graph, CATALOGUE)
    assert to_comfy(parse(flat), CATALOGUE) == flat
    assert to_hip35(parse(named), CATALOGUE) == named
    assert to_comfy(parse(named), CATALOGUE) == flat
    assert to_hip35(parse(flat), CATALOGUE) == named


@settings(deadline=None, max_examples=60)
@given(right_prompts())
def test_a_checked_graph_is_checked_again_without_change(prompt: dict[str, Any]):
    checked = check(parse(prompt), CATALOGUE)
    again = check(parse(to_comfy(checked.graph, CATALOGUE)), CATALOGUE)
    assert again == checked


@pytest.mark.covers("R027")
def test_export_and_import_do_not_change_a_byte():
    once = canonical(to_hip35(parse(comfy()), CATALOGUE))
    twice = canonical(to_hip35(parse(json.loads(once)), CATALOGUE))
    assert once == twice


def test_the_order_of_keys_does_not_show_in_the_bytes():
    turned = {key: COMFY[key] for key in reversed(COMFY)}
    assert canonical(turned) == canonical(COMFY)


@pytest.mark.covers("R029")
def test_one_changed_widget_is_one_changed_line():
    before = document(to_hip35(parse(comfy()), CATALOGUE)).splitlines()
    after = document(to_hip35(parse(changed("5", steps=31)), CATALOGUE)).splitlines()
    different = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert [(a.strip(), b.strip()) for a, b in different] == [('"steps": 30', '"steps": 31')]
