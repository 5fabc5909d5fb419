"""Explains the status of a book, and its anomalies.

The rule here: one sentence for each, the same in tables and in JSON. Each anomaly says for which
books it is expected; the others deserve a look.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple

from batonics.book.state import Anomaly, Status


class ExpectedIn(Enum):
    """The books for which an anomaly is expected."""

    NEVER = auto()
    INCOMPLETE = auto()  # books that were cold or stale
    ALWAYS = auto()


class AnomalyMeaning(NamedTuple):
    """The explanation of an anomaly.

    Attributes:
        sentence: what the records did, and what the book did.
        expected: the books for which the anomaly is expected.
    """

    sentence: str
    expected: ExpectedIn


ANOMALY_MEANINGS = {
    Anomaly.UNKNOWN_CANCEL: AnomalyMeaning(
        "a cancel of an order that is not in the book: nothing changed (rule 8)",
        ExpectedIn.INCOMPLETE,
    ),
    Anomaly.UNKNOWN_MODIFY: AnomalyMeaning(
        "a modify of an order that is not in the book: it was inserted (rule 9)",
        ExpectedIn.INCOMPLETE,
    ),
    Anomaly.DUPLICATE_ADD: AnomalyMeaning(
        "an add of an order that is in the book: it replaced the order (rule 7)", ExpectedIn.NEVER
    ),
    Anomaly.OVER_CANCEL: AnomalyMeaning(
        "a cancel of more than was left: the order left (rule 8)", ExpectedIn.NEVER
    ),
    Anomaly.BAD_SIDE: AnomalyMeaning(
        "an add or modify of no side: nothing changed (rule 7)", ExpectedIn.NEVER
    ),
    Anomaly.UNDEF_PRICE: AnomalyMeaning(
        "an add or modify without a price: nothing changed (rule 7)", ExpectedIn.NEVER
    ),
    Anomaly.UNDEF_SIZE: AnomalyMeaning(
        "an add or modify without a size: nothing changed (rule 19)", ExpectedIn.NEVER
    ),
    Anomaly.ZERO_SIZE: AnomalyMeaning(
        "an add of size 0: nothing changed (rule 7)", ExpectedIn.NEVER
    ),
    Anomaly.SIDE_MISMATCH: AnomalyMeaning(
        "a modify that names the other side: the order kept its own (rule 12)", ExpectedIn.NEVER
    ),
    Anomaly.MBP_RECORD: AnomalyMeaning(
        "a price level among orders: nothing changed (rule 15)", ExpectedIn.NEVER
    ),
    Anomaly.TOB_CANCEL: AnomalyMeaning(
        "a cancel of a top-of-book publisher, whose ids are none: nothing changed (rule 13)",
        ExpectedIn.ALWAYS,
    ),
    Anomaly.SNAPSHOT_REPLACED: AnomalyMeaning(
        "a snapshot without a clear replaced what was there, as a later day's does (rule 14)",
        ExpectedIn.ALWAYS,
    ),
    Anomaly.TS_RECV_BACKWARDS: AnomalyMeaning(
        "a ts_recv far behind the latest of the stream: applied where it stands (rule 4)",
        ExpectedIn.NEVER,
    ),
}


def explain_status(status: Status, since: int | None) -> str:
    """The reason for a book's status.

    Args:
        status: the book's status.
        since: the index of the record that set it; None: no record did.
    """
    if since is None or status is Status.COLD:
        return "no clear and no snapshot since its stream began: a lower bound (rule 21)"
    if status is Status.SYNCED:
        return f"a clear or a snapshot gave it a known beginning at record {since:,}"
    return f"a gap was flagged at record {since:,}, with no clear or snapshot since (rule 17)"


def explain_anomaly(anomaly: Anomaly, count: int, *, incomplete: bool) -> dict[str, Any]:
    """An anomaly's count with its explanation, as JSON has it.

    Args:
        anomaly: the anomaly.
        count: how often it happened in the book.
        incomplete: the book was cold or stale at some time.
    """
    sentence, expected = ANOMALY_MEANINGS[anomaly]
    return {
        "name": anomaly.name.lower(),
        "count": count,
        "meaning": sentence,
        "expected": expected is ExpectedIn.ALWAYS
        or (expected is ExpectedIn.INCOMPLETE and incomplete),
    }
