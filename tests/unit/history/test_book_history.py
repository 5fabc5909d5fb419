"""The books of a history at any moment are those of `reconstruct --at`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import orjson
import pytest

from batonics.book.engine import BookEngine
from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.history import book_history, record_file
from batonics.history.book_history import FileHistory, HistoryFacts, Moment
from batonics.history.record_file import RecordFile
from batonics.jobs.reconstruct import Reconstruction, ReconstructRequest
from batonics.model.answers import AsOf
from batonics.model.day_conditions import DayCondition
from batonics.model.errors import OutputError, UsageError
from batonics.model.symbols import SymbolMap
from batonics.sinks.book_json import book_documents
from batonics.sources.stream import MboStream
from tests.support.histories import build_history
from tests.support.paths import ROOT

SAMPLE = ROOT / "data" / "sample.dbn.zst"


@pytest.fixture(autouse=True)
def many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_history, "CHECKPOINT_DISTANCE", 5_000)
    monkeypatch.setattr(record_file, "BLOCK_RECORDS", 64)
    monkeypatch.setattr(record_file, "READ_RECORDS", 1_000)


def shown(engine: BookEngine, as_of: AsOf, symbols: SymbolMap) -> bytes:
    return orjson.dumps(
        [as_of.document(), *book_documents(engine, symbols, orders=True, as_of=as_of)]
    )


def check_moments(paths: list[Path], directory: Path, moments: int) -> None:
    """Compare the books at the edges of the data and at some moments in it with `reconstruct`."""
    history = build_history(paths, directory)
    first, last = history.records.first_ns, history.records.last_ns
    assert first is not None
    assert last is not None
    times = np.random.default_rng(7).integers(first, last, moments).tolist()
    for at_ns in [first, *times, last - 1, last, last + 10**9, None]:
        books = history.at(Moment(at_ns))
        run = Reconstruction(ReconstructRequest(paths=tuple(map(str, paths)), at_ns=at_ns))
        run.run()
        expected = shown(run.engine, run.as_of, run.symbols)
        assert shown(books.engine, books.as_of, history.symbols) == expected, at_ns
        # Asked for alone, a book is the same.
        key = run.engine.keys()[0]
        alone = history.at(Moment(at_ns), key[0] << 32 | key[1])
        documents = [
            list(book_documents(engine, history.symbols, orders=True, only={key}, as_of=run.as_of))
            for engine in (alone.engine, run.engine)
        ]
        assert documents[0] == documents[1], at_ns


def test_books_at_any_moment_are_those_of_reconstruct(tmp_path: Path) -> None:
    check_moments([SAMPLE], tmp_path / "history", 12)


def test_real_books_at_any_moment(test_data: Path, tmp_path: Path) -> None:
    check_moments([test_data / "clx5" / "CLX5_mbo.dbn"], tmp_path / "history", 3)


def test_books_of_two_days_at_any_moment(test_data: Path, tmp_path: Path) -> None:
    days = sorted((test_data / "esh4").glob("*.mbo.dbn.zst"))
    check_moments(days, tmp_path / "history", 4)


def test_what_is_known_of_the_data_is_said_of_its_books(tmp_path: Path) -> None:
    """A lossy table and a degraded day are in each answer."""
    (tmp_path / "history").mkdir()
    stream = MboStream([SAMPLE])
    day = DayCondition(date(2026, 1, 5), "degraded")
    facts = HistoryFacts(
        lambda: stream.symbols,
        TradingStatuses(stream.statuses),
        None,
        lambda: (day,),
        lambda: ("times are microseconds",),
    )
    history = FileHistory(tmp_path / "history", facts)
    history.build(stream.batches())
    as_of = history.at(Moment(history.records.last_ns)).as_of
    assert as_of.document()["losses"] == ["times are microseconds"]
    assert [str(warning) for warning in as_of.warnings()] == ["degraded"]


def test_a_record_is_a_moment_too(tmp_path: Path) -> None:
    """After the last record of a time, the books are those of the time."""
    history = build_history([SAMPLE], tmp_path / "history")
    for record in np.random.default_rng(3).integers(0, history.records.count, 5).tolist():
        at_ns = history.records.due_ns(record)
        last = history.records.count_until(at_ns) - 1
        by_record, by_time = history.at(Moment(record=last)), history.at(Moment(at_ns))
        symbols = history.symbols
        assert by_record.records == by_time.records == last + 1
        assert shown(by_record.engine, by_record.as_of, symbols) == shown(
            by_time.engine, by_time.as_of, symbols
        )
    with pytest.raises(UsageError, match="there are 100000 records"):
        history.at(Moment(record=100_000))


def test_a_moment_before_the_data_is_refused(tmp_path: Path) -> None:
    history = build_history([SAMPLE], tmp_path / "history")
    with pytest.raises(UsageError, match="before the first record"):
        history.at(Moment(1))


def test_a_directory_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        RecordFile(tmp_path / "missing")
