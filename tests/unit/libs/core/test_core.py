"""Ids and money."""

from __future__ import annotations

import pytest

from libs.core.errors import Refused
from libs.core.ids import is_canonical_uuid, token
from libs.core.money import credits_of, dollars_text


@pytest.mark.parametrize("value", ["a", "A-1_z", "x" * 64])
def test_a_token_passes(value):
    assert token(value, "tenant") == value


@pytest.mark.parametrize("value", ["", "a.b", "a b", "*", ">", "x" * 65, "a\n", "ä"])
def test_what_would_break_a_subject_is_refused_by_the_name_of_its_field(value):
    with pytest.raises(Refused, match="tenant"):
        token(value, "tenant")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0199c6a0-0000-7000-8000-000000000000", True),
        ("0199C6A0-0000-7000-8000-000000000000", False),
        ("0199c6a0000070008000000000000000", False),
        ("0199c6a0-0000-7000-8000-000000000000\n", False),
        (7, False),
        (None, False),
    ],
)
def test_only_a_lowercase_hyphenated_uuid_is_canonical(value, said):
    assert is_canonical_uuid(value) is said


@pytest.mark.parametrize(
    ("micros", "text"), [(0, "$0.000000"), (240, "$0.000240"), (-1_500_000, "-$1.500000")]
)
def test_money_is_shown_to_the_micro_dollar(micros, text):
    assert dollars_text(micros) == text


def test_a_credit_is_a_tenth_of_a_cent():
    assert credits_of(1_000) == 1.0
