"""Paths of parts: what is built comes back, and nothing else is taken for a path."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.lake.part_paths import (
    FILE_NAME_BYTES_MAX,
    HIVE_NULL,
    PART_DEPTH,
    check_part_path,
    part_directory,
    path_symbol,
    rebuild_part_path,
    symbol_directory,
)
from batonics.model.errors import LakeError

SYMBOLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
DATE = "2024-10-04"
PATH = f"mbo/date={DATE}/0123abcd-0000.parquet"


@given(st.dates().map(str) | st.none())
def test_a_path_that_is_built_is_a_path(date: str | None) -> None:
    path = f"{part_directory('mbp-10', date)}/0123abcd-0000.parquet"
    assert rebuild_part_path(path) == path
    check_part_path(path, "mbp-10", date)
    assert len(path.split("/")) == PART_DEPTH


@given(SYMBOLS | st.none(), st.dates().map(str) | st.none())
def test_a_directory_of_a_symbol_is_two_names(symbol: str | None, date: str | None) -> None:
    names = symbol_directory(date, symbol).split("/")
    assert len(names) == 2
    assert all(0 < len(name.encode()) <= FILE_NAME_BYTES_MAX for name in names)
    assert not {".", ".."} & set(names)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        (None, "__HIVE_DEFAULT_PARTITION__"),
        ("CLX5", "CLX5"),
        ("..", ".."),
        ("A/B", "A%2FB"),
        ("a=b c", "a%3Db%20c"),
        ("%2F", "%252F"),
        ("Ä", "%C3%84"),
    ],
)
def test_a_symbol_is_one_name_of_a_directory(symbol: str | None, name: str) -> None:
    assert symbol_directory(DATE, symbol) == f"date={DATE}/symbol={name}"


@given(st.sets(SYMBOLS | st.sampled_from([HIVE_NULL, f"x~{'0' * 32}", "x" * 249, "漢" * 28])))
def test_no_two_symbols_have_one_name(symbols: set[str]) -> None:
    names = {path_symbol(symbol) for symbol in symbols}
    assert len(names) == len(symbols)
    assert HIVE_NULL not in names


def test_a_symbol_that_fits_is_its_own_name() -> None:
    for symbol in ("CLX5", "", "..", "NULL", "a/b", "x" * 248, "漢" * 27):
        assert path_symbol(symbol) == symbol
    for symbol in ("x" * 249, "漢" * 28, HIVE_NULL):
        assert path_symbol(symbol) != symbol
        value = symbol_directory(None, symbol).rpartition("symbol=")[2]
        assert unquote(value) == path_symbol(symbol)


@given(st.text(max_size=80) | st.text("./=%~-_amo:d\x00\n", max_size=60))
def test_what_is_taken_is_what_would_be_built(text: str) -> None:
    assert rebuild_part_path(text) in (None, text)
    if rebuild_part_path(text) is not None:
        assert text.startswith(tuple("abcdefghijklmnopqrstuvwxyz"))
        assert text.count("/") == PART_DEPTH - 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"/{PATH}",
        f"../{PATH}",
        f"./{PATH}",
        f"{PATH}/",
        PATH.replace(DATE, f"{DATE}/symbol=CLX5"),
        PATH.replace(DATE, f"{DATE}/.."),
        PATH.replace(DATE, "%2e%2e"),
        PATH.replace(DATE, ".."),
        PATH.replace("0123abcd", "a b"),
        PATH.replace("0123abcd", "a\x00"),
        PATH.replace("0123abcd", "é"),
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
        check_part_path(text, "mbo", DATE)
    assert len(str(error.value).splitlines()) == 1


def test_a_path_of_another_schema_or_date_is_refused() -> None:
    check_part_path(PATH, "mbo", DATE)
    for schema, date in (
        ("trades", DATE),
        ("mbo", "2024-10-05"),
        ("mbo", None),
        ("../mbo", DATE),
        ("mbo", "x"),
    ):
        with pytest.raises(LakeError):
            check_part_path(PATH, schema, date)
