"""The ending of a file's name and the format of the file: a contradiction is refused."""

from __future__ import annotations

import pytest

from batonics.model.errors import UsageError
from batonics.sinks.book_json import BookJsonFormat, find_book_format
from batonics.sinks.file_names import check_file_name, named_format


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("day.csv", "csv"),
        ("day.mbo.DBN.zst", "dbn.zst"),
        ("a.b/day.feather", "arrow"),
        ("day.jsonl", "ndjson"),
        ("day.json.gz", "json.gz"),
        ("day.zst", "zst"),
        ("day", None),
        ("day.txt", None),
        ("-", None),
        (".csv", None),
        ("/dev/null", None),
    ],
)
def test_a_name_says_its_format(name: str, file_format: str | None) -> None:
    assert named_format(name) == file_format


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("x.csv", "csv"),
        ("x.csv.zst", "csv.zst"),
        ("x.zst", "csv.zst"),
        ("x.out", "dbn"),
        ("-", "csv"),
    ],
)
def test_a_name_that_says_the_format_or_none_is_accepted(name: str, file_format: str) -> None:
    check_file_name(name, file_format)


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("x.csv", "json"),
        ("x.csv", "csv.zst"),
        ("x.csv.zst", "csv"),
        ("x.zst", "csv"),
        ("x.json.gz", "json"),
    ],
)
def test_a_name_that_says_another_format_is_refused(name: str, file_format: str) -> None:
    with pytest.raises(
        UsageError,
        match=rf"^{name}: the name says .*, .* would hold {file_format}; end it in .{file_format}$",
    ):
        check_file_name(name, file_format)


@pytest.mark.parametrize(
    ("name", "asked", "found"),
    [
        ("x.json", None, "json"),
        ("x.ndjson", None, "ndjson"),
        ("x.ndjson", "ndjson", "ndjson"),
        ("x", None, "json"),
        ("-", None, "json"),
        ("-", "ndjson", "ndjson"),
    ],
)
def test_books_have_the_format_of_the_option_or_of_the_name(
    name: str, asked: BookJsonFormat | None, found: str
) -> None:
    assert find_book_format(name, asked) == found
