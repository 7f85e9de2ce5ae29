"""The card tells the truth about the files beside it and about the generator."""

import hashlib
import json
from pathlib import Path

import pytest

from training.card import knowledge
from training.export import FOLDER
from training.sheet import sentences

CARD = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("facts", [CARD, CARD["upscaler"]], ids=["checkpoint", "upscaler"])
def test_size_and_hash_on_the_card_are_those_of_the_file(facts):
    data = (FOLDER / facts["file"]).read_bytes()
    assert len(data) == facts["bytes"]
    assert hashlib.sha256(data).hexdigest() == facts["sha256"]


def test_the_checkpoint_stays_small_enough_to_ship():
    assert CARD["bytes"] <= 40_000_000


def test_what_the_card_lists_is_what_the_generator_teaches():
    assert CARD["knows"] == knowledge()


def test_every_word_of_the_examples_and_of_the_sheet_is_known():
    lines = [*CARD["knows"]["sentences"], *sentences()]
    said = {word.strip(",") for line in lines for word in line.split()}
    assert said - set(CARD["knows"]["words"]) == set()


def test_the_licences_of_both_files_are_told_and_kept():
    notice = (FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    assert (CARD["licence"], CARD["upscaler"]["licence"]) == ("Apache-2.0", "BSD-3-Clause")
    assert "Copyright (c) Microsoft Corporation" in notice
    assert "Copyright (c) 2021, Xintao Wang" in notice


def test_nothing_outside_imports_the_training_package():
    sources = [*Path("libs").rglob("*.py"), *Path("services").rglob("*.py")]
    assert sources
    words = ("import training", "from training")
    texts = {path: path.read_text(encoding="utf-8") for path in sources}
    assert [path for path, text in texts.items() if any(word in text for word in words)] == []
