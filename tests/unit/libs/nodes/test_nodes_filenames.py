"""A prefix leads to a place below the folder, or is refused."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.core.errors import NotFound, Refused
from libs.nodes.context import OutputFile
from libs.nodes.filenames import COUNTER_MAX, Facts, counter_of, numbered, place
from libs.nodes.local import LocalContext
from tests.unit.libs.nodes.fakes import Recorder

FACTS = Facts(
    now=datetime(2031, 2, 3, 4, 5, 6),  # noqa: DTZ001  The caller's own time, whatever it is.
    width=640,
    height=480,
    batch_number=2,
)


@pytest.mark.covers("R105")
@pytest.mark.parametrize(
    ("prefix", "wanted"),
    [
        ("ComfyUI", ("", "ComfyUI")),
        ("a/b/img", ("a/b", "img")),
        ("%width%x%height%_%batch_num%", ("", "640x480_2")),
        ("%year%-%month%-%day%/%hour%%minute%%second%", ("2031-02-03", "040506")),
        ("%unknown% 100%", ("", "%unknown% 100%")),
        ("été 狐 [x]", ("", "été 狐 [x]")),
        ("a.b", ("", "a.b")),
    ],
)
def test_a_prefix_is_a_folder_and_a_stem(prefix, wanted):
    assert place(prefix, FACTS) == wanted


@pytest.mark.parametrize(
    "prefix",
    [
        "", "/", "/etc/passwd", "../x", "a/../x", "a/..", "..", ".", "a/./b", "a//b", "a/", "x/...",
        "..\\x", "a\\b", "C:\\x", "C:x", "\\\\host\\x", "x\x00y", "x\ny", "x\x7f", "<x>", "a|b",
        "x*", "x?", '"x"', " x", "x ", "a/ b", "\ud800", "x" * 256, "狐" * 70, "/".join("a" * 11),
    ],
)  # fmt: skip
def test_path_tricks_are_refused_with_the_field(prefix):
    with pytest.raises(Refused) as refused:
        place(prefix, FACTS)
    assert refused.value.facts["field"] == "filename_prefix"


@given(st.text(max_size=60))
def test_no_prefix_ever_leads_out(prefix):
    try:
        subfolder, stem = place(prefix, FACTS)
    except Refused:
        return
    parts = [*subfolder.split("/"), stem] if subfolder else [stem]
    assert all(part and part.strip(". ") for part in parts)
    assert "/" not in stem
    assert "\\" not in prefix


def test_names_are_numbered_as_clients_know_them():
    assert numbered("hanzo_gen", 1, "png") == "hanzo_gen_00001_.png"
    assert numbered("x", 123456, "png") == "x_123456_.png"
    assert counter_of("hanzo_gen_00041_.png", "hanzo_gen") == 41
    assert counter_of("hanzo_gen_2_00041_.png", "hanzo_gen") == 0
    assert counter_of("hanzo_gen.png", "hanzo_gen") == 0
    for counter in (0, COUNTER_MAX + 1):
        with pytest.raises(Refused):
            numbered("x", counter, "png")


def file(prefix: str, folder: str = "output") -> OutputFile:
    return OutputFile(
        data=b"x",
        extension="png",
        mime="image/png",
        filename_prefix=prefix,
        folder=folder,  # type: ignore[arg-type]
    )


def test_the_local_context_counts_up_per_folder_and_prefix(tmp_path):
    context = LocalContext(root=tmp_path, loader=Recorder())
    names = [context.save(file(prefix)).filename for prefix in ("a", "a", "b", "a_2", "a")]
    assert names == [
        "a_00001_.png",
        "a_00002_.png",
        "b_00001_.png",
        "a_2_00001_.png",
        "a_00003_.png",
    ]
    saved = context.save(file("deep/er/a", "temp"))
    assert saved.as_json() == {
        "filename": "a_00001_.png",
        "subfolder": "deep/er",
        "type": "temp",
    }
    assert (tmp_path / "temp/deep/er/a_00001_.png").read_bytes() == b"x"


def test_the_local_context_reads_only_inside_its_folders(tmp_path):
    context = LocalContext(root=tmp_path, loader=Recorder())
    context.save(file("a"))
    assert context.read_input("a_00001_.png [output]") == b"x"
    (tmp_path / "secret").write_bytes(b"s")
    for name in ("../secret", str(tmp_path / "secret"), "missing.png", ""):
        with pytest.raises(NotFound):
            context.read_input(name)
