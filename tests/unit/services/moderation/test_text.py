"""The blocklist against words, tricks of spelling, and harmless neighbours."""

from __future__ import annotations

from typing import Any

import pytest

from libs.core.errors import Misconfigured
from services.moderation.domain.text import parse_blocklist, texts_asked_for
from services.moderation.main import OWN_BLOCKLIST, read_blocklist

OWN = read_blocklist(OWN_BLOCKLIST)


@pytest.mark.covers("R344")
@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("a swastika on a wall", "hate"),
        ("a  SWASTIKA!", "hate"),
        ("a sw\u200bastika", "hate"),
        ("a s w a s t i k a", "hate"),
        ("a $wa5tika", "hate"),
        ("Hard-core sex", None),
        ("hardcore sex", "sexual"),
        ("naked children on a beach", "minors"),
        ("a ten years old girl, naked", "minors"),
        ("beheading of a man", "violence"),
        ("a decapitated head", "violence"),
    ],
)
def test_the_blocklist_finds_the_category(text, category):
    assert OWN.category_of(text) == category


@pytest.mark.parametrize(
    "text",
    [
        "a red fox in the snow",
        "nude colour lipstick, product photo",
        "children playing football in a park",
        "a sunset over the ocean",
        "a grape on a table",
        "the rapeseed field in bloom",
        "a classic essex cottage",
        "a shot of espresso",
        "skin tones, portrait of a woman, 35 years old",
        "",
    ],
)
def test_harmless_words_pass(text):
    assert OWN.category_of(text) is None


def test_words_that_only_say_what_is_not_wanted_are_not_asked_for():
    graph: Any = {
        "p": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["c", 1]}},
        "n": {"class_type": "CLIPTextEncode", "inputs": {"text": "porn", "clip": ["c", 1]}},
        "s": {"class_type": "KSampler", "inputs": {"positive": ["p", 0], "negative": ["n", 0]}},
    }
    assert "porn" not in list(texts_asked_for(graph))
    graph["s"]["inputs"]["positive"] = ["n", 0]
    assert "porn" in list(texts_asked_for(graph))


def test_texts_are_found_in_the_other_dialect_and_in_nested_values():
    graph: Any = {
        "version": 1,
        "nodes": {"1": {"type": "X", "inputs": {"a": {"__value__": ["deep", ["deeper"]]}}}},
    }
    assert {"deep", "deeper"} <= set(texts_asked_for(graph))


@pytest.mark.parametrize(
    "document", ["", "policy: x", "[a]\nword", "policy: x\nword before any heading"]
)
def test_a_broken_blocklist_is_named(document):
    with pytest.raises(Misconfigured, match=r"list\.txt"):
        parse_blocklist(document, "list.txt")
