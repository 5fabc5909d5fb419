"""HTML tables of books and lakes in notebooks: values are text, and tables stay small."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser

import polars as pl

from batonics.book.engine import BookEngine
from batonics.frames.depth.books import Books
from batonics.frames.html import HTML_ROWS_MAX, html_table
from batonics.model.symbols import MappingInterval, SymbolMap
from tests.support.reference_books import ReferenceBooks, records
from tests.support.streams import random_stream


class Cells(HTMLParser):
    """The cells of a table, row by row, and the tags in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.add(tag)
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"td", "th"}:
            self.rows[-1][-1] += data


TAGS = {"table", "caption", "thead", "tbody", "tr", "th", "td"}


def random_books(seed: int, names: dict[int, str]) -> tuple[Books, ReferenceBooks]:
    batch = random_stream(seed, 2_000)
    engine, reference, symbols = BookEngine(), ReferenceBooks(), SymbolMap()
    engine.fold(batch)
    for record in records(batch):
        reference.apply(record)
    for instrument_id, name in names.items():
        symbols.add(MappingInterval(0, 2**64 - 1, instrument_id, name))
    return Books(engine, symbols), reference


def test_a_price_is_exact_text_and_a_count_has_separators() -> None:
    frame = pl.DataFrame({"price": [40_090_000_000, -1, None], "size": [1_234_567, 0, None]})
    assert Cells(html_table(frame, "", prices=["price"])).rows == [
        ["price", "size"],
        ["40.09", "1,234,567"],
        ["-0.000000001", "0"],
        ["", ""],
    ]


def test_numbers_stand_right_and_words_left() -> None:
    text = html_table(pl.DataFrame({"n": [1], "word": ["one"]}), "")
    assert '<td style="text-align:right">1</td><td>one</td>' in text


def test_a_time_is_utc_to_the_millisecond_and_a_flag_a_word() -> None:
    time = datetime(2026, 1, 5, 14, 30, 0, 123_456, tzinfo=UTC)
    frame = pl.DataFrame({"ts": [time, None], "open": [True, False]})
    frame = frame.with_columns(pl.col("ts").cast(pl.Datetime("ns", "UTC")))
    assert Cells(html_table(frame, "")).rows[1:] == [["2026-01-05 14:30:00.123", "yes"], ["", "no"]]


def test_names_and_values_are_never_markup() -> None:
    evil = "<script>alert('&')</script>"
    text = html_table(pl.DataFrame({evil: [evil]}), evil)
    assert Cells(text).tags == TAGS
    assert Cells(text).rows == [[evil], [evil]]


def test_rows_that_are_left_out_are_counted() -> None:
    frame = pl.DataFrame({"n": range(HTML_ROWS_MAX + 1_000)})
    text = html_table(frame, "many")
    assert len(Cells(text).rows) == 1 + HTML_ROWS_MAX
    assert text.endswith("<p>and 1,000 more</p>")


def test_a_frame_without_rows_is_its_head() -> None:
    assert Cells(html_table(pl.DataFrame(schema={"n": pl.Int64}), "")).rows == [["n"]]


def test_books_show_their_best_bid_and_ask_by_publisher_and_instrument() -> None:
    books, _ = random_books(1, {100: "ONE"})
    best = {
        (row["publisher_id"], row["instrument_id"], row["side"]): row
        for row in books.levels(depth=1).rows(named=True)
    }
    rows = Cells(books._repr_html_()).rows
    head, body = rows[0], [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert head[:3] == ["symbol", "book", "status"]
    assert [row["book"] for row in body] == [
        f"{publisher}/{instrument}"
        for publisher, instrument in books.summary().select("publisher_id", "instrument_id").rows()
    ]
    for row in body:
        publisher, instrument = (int(part) for part in row["book"].split("/"))
        for side, name in (("B", "bid"), ("A", "ask")):
            level = best.get((publisher, instrument, side))
            price = "" if level is None else row[name].replace(".", "").rstrip("0")
            expected = "" if level is None else str(level["price"]).rstrip("0")
            assert price.lstrip("-0") == expected.lstrip("-0")
            assert row[f"{name} size"] == ("" if level is None else f"{level['size']:,}")


def test_books_have_their_anomalies_and_the_times_of_their_last_records() -> None:
    books, reference = random_books(2, {})
    rows = Cells(books._repr_html_()).rows
    for row in (dict(zip(rows[0], cells, strict=True)) for cells in rows[1:]):
        publisher, instrument = (int(part) for part in row["book"].split("/"))
        key = (publisher, instrument)
        assert row["status"] == reference.status(key)
        assert row["events"] == f"{reference.events(key):,}"
        assert row["odd"] == f"{sum(reference.anomalies(key).values()):,}"


def test_a_symbol_of_markup_is_shown_as_it_is_written() -> None:
    books, _ = random_books(1, {100: "<b>A&B</b>"})
    cells = Cells(books._repr_html_())
    assert cells.tags == TAGS
    assert "<b>A&B</b>" in {row[0] for row in cells.rows}


def test_no_books_are_an_empty_table() -> None:
    text = Books(BookEngine(), SymbolMap())._repr_html_()
    assert len(Cells(text).rows) == 1
    assert "0 books, 0 levels" in text
