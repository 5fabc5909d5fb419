"""What is printed of names and symbols cannot break a line or speak to the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.cli.console import escape_unprintable


@given(st.text())
def test_it_is_always_printable(text: str) -> None:
    assert escape_unprintable(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ESH4", "ESH4"),
        ("Zürich 株", "Zürich 株"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\udcff", "\\udcff"),
    ],
)
def test_known_texts(text: str, shown: str) -> None:
    assert escape_unprintable(text) == shown
