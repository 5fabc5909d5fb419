"""What answers say about their data."""

from __future__ import annotations

import pytest

from batonics.model.answers import AnswerWarning, AsOf, DataSpan, book_warnings
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, Flag, MboBatch
from tests.support.reference_books import Record
from tests.support.streams import batch_of


def batch(*times: tuple[int, int]) -> MboBatch:
    """Records with these times and flags."""
    return batch_of(
        [Record(ts, 0, 1, 100, ord("A"), ord("B"), 10, 1, 0, 1, flags, 0, 0) for ts, flags in times]
    )


def test_a_span_is_from_the_first_record_to_the_greatest_time() -> None:
    span = DataSpan().extend(batch((5, 128), (9, 128), (7, 128)))
    assert span == DataSpan(5, 9)
    assert span.extend(batch((8, 128))) == DataSpan(5, 9)
    assert span.extend(batch((4, 128), (12, 128))) == DataSpan(5, 12)
    assert span.extend(batch()) == DataSpan(5, 9)


def test_a_time_that_orders_nothing_is_in_no_span() -> None:
    untimed = (1, int(Flag.BAD_TS_RECV)), (UNDEF_TIMESTAMP, 128)
    assert DataSpan().extend(batch(*untimed)) == DataSpan(None, None)
    snapshot = int(Flag.BAD_TS_RECV | Flag.SNAPSHOT)
    assert DataSpan().extend(batch(*untimed, (6, snapshot))) == DataSpan(6, 6)


def test_a_span_is_a_document_and_words() -> None:
    assert DataSpan(5, 9).document() == {
        "from": "1970-01-01T00:00:00.000000005Z",
        "until": "1970-01-01T00:00:00.000000009Z",
    }
    assert DataSpan().document() == {"from": None, "until": None}
    assert DataSpan().describe() == "no record has a time"


def test_a_question_outside_the_span_is_refused() -> None:
    span = DataSpan(5, 9)
    span.check_not_after(9, "why")
    span.check_not_before(5)
    with pytest.raises(UsageError, match="after the last record: why; the records are from 1970"):
        span.check_not_after(10, "why")
    with pytest.raises(UsageError, match=r"before the first record, at 1970.*5Z: no book is known"):
        span.check_not_before(4)
    with pytest.raises(UsageError, match="no record has a time"):
        DataSpan().check_not_after(1, "why")


def test_rows_that_are_all_outside_the_span_are_refused() -> None:
    span = DataSpan(5, 9)
    for start, end in ((9, None), (None, 6), (1, 20), (None, None)):
        span.check_overlaps(start, end)
    with pytest.raises(UsageError, match=r"the start, 1970.*10Z, is after the last record; the"):
        span.check_overlaps(10, None)
    with pytest.raises(UsageError, match=r"the end, 1970.*5Z, is not after the first record, at"):
        span.check_overlaps(None, 5)
    DataSpan().check_overlaps(10, None)


def test_books_are_as_of_a_time_within_or_after_the_data() -> None:
    span = DataSpan(5, 9)
    inside, after = AsOf.of_records(7, span), AsOf.of_records(10, span)
    assert (inside.data, inside.warnings()) == (DataSpan(5, 7), [])
    assert (after.data, after.warnings()) == (span, ["after_data"])
    assert AsOf.of_records(9, span).warnings() == []
    assert AsOf.of_records(None, span).document() == {"at": None, "data": span.document()}
    assert AsOf.of_records(9, DataSpan()).warnings() == []


def test_each_warning_has_a_meaning() -> None:
    assert all(warning.meaning for warning in AnswerWarning)


def test_the_state_of_a_book_gives_its_warnings() -> None:
    assert book_warnings("synced", crossed=False) == []
    assert book_warnings("cold", crossed=True) == ["cold", "crossed"]
    assert book_warnings("stale", crossed=False) == ["stale"]
