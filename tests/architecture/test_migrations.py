"""The revisions of the tables stand in one line, so that every archive comes to the same place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from libs.store.engine import MIGRATIONS

NUMBERED = re.compile(r"(?P<number>\d{4})_[a-z0-9_]+\.py")


def revisions(folder: Path) -> list[str]:
    """Return the revisions from the first to the newest; wrong if they are no line."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    scripts = ScriptDirectory.from_config(config)
    (head,) = scripts.get_heads()
    return [script.revision for script in scripts.walk_revisions("base", head)][::-1]


def numbers(folder: Path) -> list[str]:
    """Return the numbers of the files, sorted."""
    files = [NUMBERED.fullmatch(file.name) for file in folder.glob("versions/*.py")]
    assert all(files), "the name of a revision is its number and words"
    return sorted(found["number"] for found in files if found)


def test_revisions_stand_in_one_line_in_the_order_of_their_numbers():
    line = [f"{number:04}" for number in range(1, len(numbers(MIGRATIONS)) + 1)]
    assert numbers(MIGRATIONS) == line
    assert revisions(MIGRATIONS) == line


@pytest.mark.parametrize("second", ["0002", "0003"])
def test_a_second_revision_behind_the_first_is_seen(tmp_path: Path, second: str):
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text("")
    for name, revision, before in (
        ("0001_a.py", "0001", None),
        ("0002_b.py", "0002", "0001"),
        (f"{second}_c.py", second, "0001"),
    ):
        words = f"revision = {revision!r}\ndown_revision = {before!r}\n"
        (tmp_path / "versions" / name).write_text(words)
    # Alembic warns of a number that is there twice; two heads are no single one.
    with pytest.raises((ValueError, UserWarning)):
        revisions(tmp_path)
