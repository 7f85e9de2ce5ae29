"""Reading a submission field by field, and file names."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.core.errors import Forbidden, Refused
from libs.graph.refusal import GraphRefused
from libs.nodes.filenames import Facts, place
from libs.nodes.filenames import numbered as numbered_file
from services.gateway.domain.names import file_asked_for, folder_of, numbered, upload_name
from services.gateway.domain.submission import idempotency_key, read_submission

FLAT: Any = {"1": {"class_type": "A", "inputs": {}}}


@pytest.mark.covers("R186")
def test_the_dialect_is_read_off_the_prompt():
    named: Any = {"version": 1, "nodes": {"1": {"type": "A", "inputs": {}}}}
    assert read_submission({"prompt": FLAT}).dialect == "comfyui"
    assert read_submission({"prompt": named}).dialect == "hip35"


def test_nulls_are_as_good_as_absent_fields():
    fields = (
        "client_id",
        "prompt_id",
        "extra_data",
        "number",
        "partial_execution_targets",
        "front",
    )
    absent = read_submission({"prompt": FLAT})
    assert read_submission({"prompt": FLAT, **dict.fromkeys(fields)}) == absent


def test_a_list_of_no_targets_is_no_wish_for_all_outputs():
    with pytest.raises(GraphRefused) as refused:
        read_submission({"prompt": FLAT, "partial_execution_targets": []})
    error = {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": ""}
    assert refused.value.body == {"error": {**error, "extra_info": {}}, "node_errors": {}}


def test_a_document_is_known_by_its_uuid_and_by_nothing_else():
    chosen = "01890a5d-ac96-774b-bcce-b302099a8057"
    for document, known in (({"id": chosen}, chosen), ({"id": "a heron at dawn"}, ""), ([1], "")):
        extra: Any = {"extra_pnginfo": {"workflow": document}}
        assert read_submission({"prompt": FLAT, "extra_data": extra}).workflow_id == known


def test_the_usage_header_fills_what_the_body_leaves_out():
    assert read_submission({"prompt": FLAT}, "sdk").extra_data == {"comfy_usage_source": "sdk"}
    own: Any = {"prompt": FLAT, "extra_data": {"comfy_usage_source": "mine"}}
    assert read_submission(own, "sdk").extra_data == {"comfy_usage_source": "mine"}


def test_the_body_that_must_be_repeated_leaves_out_the_id():
    chosen: Any = {"prompt": FLAT, "prompt_id": "01890a5d-ac96-774b-bcce-b302099a8057"}
    assert read_submission(chosen).body == read_submission({"prompt": FLAT}).body


@pytest.mark.parametrize(
    "value", [True, [], "x", 10**400, float("inf"), float("nan"), -(2**53) - 1]
)
def test_a_number_that_is_none_is_refused(value: Any):
    with pytest.raises(GraphRefused) as refused:
        read_submission({"prompt": FLAT, "number": value})
    assert refused.value.kind == "invalid_number"


@pytest.mark.parametrize("value", ["1_0", "٣", " 1", "nan", "inf", "1e5", "9" * 16])
def test_a_number_in_words_has_plain_digits(value: str):
    with pytest.raises(GraphRefused):
        read_submission({"prompt": FLAT, "number": value})
    assert read_submission({"prompt": FLAT, "number": "-2.5"}).priority == -2.5


@pytest.mark.parametrize("value", ["true", 2, 0.5, [], {}])
def test_a_flag_is_yes_or_no(value: Any):
    with pytest.raises(GraphRefused) as refused:
        read_submission({"prompt": FLAT, "front": value})
    assert refused.value.kind == "invalid_flag"
    assert read_submission({"prompt": FLAT, "front": 1}).front is True


@pytest.mark.parametrize("key", ["x" * 256, "a\tb", "é"])
def test_an_idempotency_key_is_short_and_plain(key: str):
    with pytest.raises(GraphRefused):
        idempotency_key(key)


def test_copies_are_numbered_before_the_suffix():
    assert list(itertools.islice(numbered("a.b.png"), 3)) == [
        "a.b.png",
        "a.b (1).png",
        "a.b (2).png",
    ]
    assert list(itertools.islice(numbered(".png"), 2)) == [".png", ".png (1)"]


def test_an_annotation_names_the_folder():
    assert file_asked_for("a.png [input]", "output", "") == ("input", "", "a.png")
    assert file_asked_for("b/a.png", "", "c") == ("output", "c/b", "a.png")
    assert file_asked_for("a [1].png", "temp", "") == ("temp", "", "a [1].png")


@pytest.mark.covers("R202")
@pytest.mark.parametrize(
    "prefix", ["v1..2", "\u202e", "a\u00a0b", "👩\u200d🚀", "x" * 180, f"{'a' * 60}/" * 4 + "b"]
)
def test_what_a_node_may_name_may_be_asked_for(prefix: str):
    subfolder, stem = place(prefix, Facts(now=datetime(2026, 11, 26, tzinfo=UTC)))
    name = numbered_file(stem, 1, "png")
    assert file_asked_for(name, "output", subfolder) == ("output", subfolder, name)


@pytest.mark.covers("R378")
@pytest.mark.parametrize(
    "name", ["../a", "a/../b", "..", "a\\..\\b", "/a", "a\nb", "a\0", "\ud800"]
)
def test_no_name_that_is_asked_for_leads_elsewhere(name: str):
    with pytest.raises(Refused):
        file_asked_for(name, "output", "")


@pytest.mark.covers("R378")
@given(st.text(max_size=30))
def test_no_subfolder_leaves_its_root(text: str):
    try:
        folder = folder_of(text)
    except Forbidden:
        return
    assert not folder.startswith("/")
    assert not {"..", ".", ""} & set(folder.split("/")) or folder == ""
    assert "\\" not in folder


@pytest.mark.covers("R378")
@given(st.text(max_size=30))
def test_no_upload_has_a_path_in_its_name(text: str):
    try:
        name = upload_name(text)
    except Refused:
        return
    assert name == text
    assert not {"/", "\\", "\0"} & set(name)


@pytest.mark.covers("R061")
def test_an_engine_is_wished_for_by_its_name():
    for engine in ("auto", "torch", "portable"):
        kept = read_submission({"prompt": FLAT, "extra_data": {"engine": engine}})
        assert kept.extra_data["engine"] == engine
    wrong: list[Any] = ["cuda", 1, None, []]
    for engine in wrong:
        with pytest.raises(GraphRefused) as refused:
            read_submission({"prompt": FLAT, "extra_data": {"engine": engine}})
        assert refused.value.kind == "invalid_engine"


def test_a_profile_is_wished_for_by_its_name():
    for profile in ("exact", "fast"):
        kept = read_submission({"prompt": FLAT, "extra_data": {"profile": profile}})
        assert kept.extra_data["profile"] == profile
    wrong: list[Any] = ["auto", 1, None, []]
    for profile in wrong:
        with pytest.raises(GraphRefused) as refused:
            read_submission({"prompt": FLAT, "extra_data": {"profile": profile}})
        assert refused.value.kind == "invalid_profile"
