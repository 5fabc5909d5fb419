"""Paths of parts: what is built comes back, and nothing else is taken for a path."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.lake.part_paths import (
    FILE_NAME_BYTES_MAX,
    HIVE_NULL,
    abbreviated_symbols,
    check_part_path,
    part_directory,
    path_symbol,
    rebuild_part_path,
)
from batonics.model.errors import LakeError

SYMBOLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
DATE = "2024-10-04"
PATH = f"mbo/date={DATE}/symbol=CLX5/0123abcd-0000.parquet"


@given(SYMBOLS | st.none(), st.dates().map(str) | st.none())
def test_a_path_that_is_built_is_a_path(symbol: str | None, date: str | None) -> None:
    directory = part_directory("mbp-10", date, symbol)
    path = f"{directory}/0123abcd-0000.parquet"
    assert rebuild_part_path(path) == path
    check_part_path(path, "mbp-10", date, symbol)
    names = path.split("/")
    assert len(names) == 4
    assert all(0 < len(name.encode()) <= FILE_NAME_BYTES_MAX for name in names)
    assert not {".", ".."} & set(names)


@given(st.sets(SYMBOLS | st.sampled_from([HIVE_NULL, f"x~{'0' * 32}", "x" * 249, "漢" * 28])))
def test_no_two_symbols_have_one_name(symbols: set[str]) -> None:
    names = {path_symbol(symbol) for symbol in symbols}
    assert len(names) == len(symbols)
    assert HIVE_NULL not in names
    found = abbreviated_symbols(symbols)
    assert {found.get(name, name) for name in names} == symbols


def test_a_symbol_that_fits_is_its_own_name() -> None:
    for symbol in ("CLX5", "", "..", "NULL", "a/b", "x" * 248, "漢" * 27):
        assert path_symbol(symbol) == symbol
    for symbol in ("x" * 249, "漢" * 28, HIVE_NULL):
        assert path_symbol(symbol) != symbol
        value = part_directory("mbo", None, symbol).rpartition("symbol=")[2]
        assert unquote(value) == path_symbol(symbol)


@given(st.text(max_size=80) | st.text("./=%~-_amo:d\x00\n", max_size=60))
def test_what_is_taken_is_what_would_be_built(text: str) -> None:
    assert rebuild_part_path(text) in (None, text)
    if rebuild_part_path(text) is not None:
        assert text.startswith(tuple("abcdefghijklmnopqrstuvwxyz"))
        assert text.count("/") == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"/{PATH}",
        f"../{PATH}",
        f"./{PATH}",
        f"{PATH}/",
        PATH.replace("CLX5", "../.."),
        PATH.replace("CLX5", "%2e%2e"),
        PATH.replace("CLX5", quote("é", safe="").lower()),
        PATH.replace("CLX5", "%FF"),
        PATH.replace("CLX5", "x" * 249),
        PATH.replace("CLX5", "a b"),
        PATH.replace("CLX5", "a\x00"),
        PATH.replace(DATE, "2024-13-04"),
        PATH.replace(DATE, "20241004"),
        PATH.replace("mbo", "Mbo"),
        PATH.replace("mbo", ".loading"),
        PATH.replace("0123abcd-0000", ""),
        PATH.replace("0123abcd-0000", "y" * 201),
        PATH.replace(".parquet", ".parquet\n"),
        PATH.replace(".parquet", ".sqlite"),
        PATH.replace("/", "\\"),
        "catalog.sqlite",
    ],
)
def test_any_other_text_is_no_path(text: str) -> None:
    assert rebuild_part_path(text) is None
    with pytest.raises(LakeError, match="batonics did not write this catalog") as error:
        check_part_path(text, "mbo", DATE, "CLX5")
    assert len(str(error.value).splitlines()) == 1


def test_a_path_of_another_schema_date_or_symbol_is_refused() -> None:
    check_part_path(PATH, "mbo", DATE, "CLX5")
    for schema, date, symbol in (
        ("trades", DATE, "CLX5"),
        ("mbo", "2024-10-05", "CLX5"),
        ("mbo", None, "CLX5"),
        ("mbo", DATE, "CLX"),
        ("mbo", DATE, None),
        ("../mbo", DATE, "CLX5"),
        ("mbo", "x", "CLX5"),
    ):
        with pytest.raises(LakeError):
            check_part_path(PATH, schema, date, symbol)
