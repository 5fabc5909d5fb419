"""Makes the heatmap of a book of files: its depth as grids, one for each span of an open market."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from batonics.book.state import Status
from batonics.history.book_history import END, FileHistory
from batonics.history.heatmap import Columns, Heatmap, make_heatmap
from batonics.history.segment_cache import SegmentCache
from batonics.jobs.file_history import HistoryInput, open_history
from batonics.jobs.progress import ReadProgress
from batonics.model.answers import AnswerWarning
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY, describe_bounds
from batonics.server.history_answers import HistoryAnswers
from batonics.server.query_params import ProblemError

if TYPE_CHECKING:
    from batonics.frames.scan.sessions import SessionCalendar

COLUMNS_MIN = 8
"""A span has so many columns at least, however short it is beside the others."""


class HeatmapRequest(NamedTuple):
    """Which heatmap.

    Attributes:
        files: the files and how they are read.
        symbol: the symbol, or instrument id; None: there is only one book.
        publisher: the publisher id, where several books have the symbol.
        start_ns: the beginning of the span; None: that of the data.
        end_ns: the end of the span; None: that of the data.
        rows: the most bands of prices.
        columns: the most columns, of all spans together.
    """

    files: HistoryInput
    symbol: str | None = None
    publisher: int | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    rows: int = 80
    columns: int = 300


class FileHeatmap(NamedTuple):
    """The depth of a book over time.

    Attributes:
        symbol: its symbol at the end, or its instrument id.
        publisher_id: its publisher.
        spans: a grid for each span of time with an open market; all have the same bands. Between
            them the market was closed, or no file covers the time.
        notes: what has to be known of the data, a line each.
    """

    symbol: str
    publisher_id: int
    spans: list[Heatmap]
    notes: list[str]


def make_file_heatmap(request: HeatmapRequest, progress: ReadProgress | None = None) -> FileHeatmap:
    """Read files, and make the heatmap of a book.

    Args:
        request: the heatmap.
        progress: called with the stream after each batch.

    Raises:
        UsageError: there is no such book, or no data in the span. InputError: a file cannot be
        read, or is damaged. OutputError: the temporary directory is full.
    """
    with open_history(request.files) as reading:
        reading.progress = progress
        reading.read()
        history = reading.history
        first_ns, last_ns = _find_bounds(history, request)
        key, name = _find_book(history, request, (first_ns, last_ns))
        bounds = _open_spans(history, (first_ns, last_ns), request.files.sessions)
        if not bounds:
            raise UsageError("no session is open between the first record and the last one")
        cache = SegmentCache(history)
        whole = Columns.covering(first_ns, last_ns, request.columns)
        segments = cache.span(key, whole.from_ns, whole.to_ns)
        bands = make_heatmap(segments, whole, request.rows, None).bands
        spans = []
        for start_ns, end_ns in bounds:
            share = (end_ns - start_ns) / sum(end - start for start, end in bounds)
            columns = Columns.covering(
                start_ns, end_ns, max(COLUMNS_MIN, round(share * request.columns))
            )
            segments = cache.span(key, columns.from_ns, columns.to_ns)
            spans.append(make_heatmap(segments, columns, bands.number, (bands.low, bands.high)))
        notes = [*history.place(END).as_of.describe_warnings([]), *_describe_doubts(spans)]
    return FileHeatmap(name, key >> 32, spans, notes)


def _describe_doubts(spans: list[Heatmap]) -> list[str]:
    """A line for each status that makes columns doubtful."""
    statuses = np.concatenate([grid.status for grid in spans])
    lines = []
    for status, warning in (
        (Status.COLD, AnswerWarning.COLD),
        (Status.STALE, AnswerWarning.STALE),
    ):
        count = int((statuses == status).sum())
        if count:
            lines.append(f"{warning}: {count:,} of {len(statuses):,} columns: {warning.meaning}")
    return lines


def _find_book(
    history: FileHistory, request: HeatmapRequest, bounds: tuple[int, int]
) -> tuple[int, str]:
    """The key and the name of the book that has the name at all times within bounds (rule 2)."""
    answers = HistoryAnswers(history)
    if request.symbol is not None:
        try:
            from_ns, to_ns = bounds[0] + 1, bounds[1] + 1
            key = answers.names.find_one_key(request.symbol, request.publisher, from_ns, to_ns)
        except ProblemError as error:
            raise UsageError(error.detail) from None
        return key, request.symbol
    books = answers.symbols("", 0, 20)["books"]
    if len(books) != 1:
        names = ", ".join(str(book["symbol"] or book["instrument_id"]) for book in books)
        raise UsageError(f"{answers.book_count} books: --symbols names one, such as {names}")
    (book,) = books
    key = book["publisher_id"] << 32 | book["instrument_id"]
    return key, book["symbol"] or str(book["instrument_id"])


def _find_bounds(history: FileHistory, request: HeatmapRequest) -> tuple[int, int]:
    """The times after which the heatmap begins, and at which it ends."""
    records = history.records
    if records.first_ns is None or records.last_ns is None:
        raise UsageError("no record of the files has a time")
    first_ns = max(records.first_ns - 1, request.start_ns or 0)
    last_ns = min(records.last_ns, records.last_ns if request.end_ns is None else request.end_ns)
    if first_ns >= last_ns:
        bounds = describe_bounds(request.start_ns, request.end_ns)
        raise UsageError(f"no records {bounds}; {history.place(END).as_of.data.describe()}")
    return first_ns, last_ns


def _open_spans(
    history: FileHistory, bounds: tuple[int, int], sessions: SessionCalendar | None
) -> list[tuple[int, int]]:
    """The spans within bounds that a file covers, and in which a session is open."""
    first_ns, last_ns = bounds
    spans = [bounds]
    if sessions is not None:
        found = sessions.spans(first_ns // NS_PER_DAY - 1, last_ns // NS_PER_DAY + 1)
        opens, closes = np.maximum(found.open_ns, first_ns), np.minimum(found.close_ns, last_ns)
        edges = zip(opens.tolist(), closes.tolist(), strict=True)
        spans = [(start_ns, end_ns) for start_ns, end_ns in edges if start_ns < end_ns]
    for hole in history.facts.find_holes():
        spans = [part for span in spans for part in _without(span, hole.start_ns, hole.end_ns)]
    return spans


def _without(span: tuple[int, int], start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """The parts of a span `(first, last]` without the time from a start to before an end."""
    first_ns, last_ns = span
    parts = (first_ns, min(last_ns, start_ns)), (max(first_ns, end_ns - 1), last_ns)
    return [(first, last) for first, last in parts if first < last]
