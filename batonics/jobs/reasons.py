"""Why a book has its status, and what its anomalies mean.

The rule here: one sentence each, the same in tables and in JSON; and for each anomaly whether it is
to be expected of such a book, so that what is left is worth a look.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple

from batonics.book.state import Anomaly, Status


class Expected(Enum):
    """Of which books an anomaly is to be expected."""

    NEVER = auto()
    INCOMPLETE = auto()  # that were cold or stale
    ALWAYS = auto()


class Meaning(NamedTuple):
    """What an anomaly is, and where it is no surprise."""

    sentence: str
    expected: Expected


MEANINGS = {
    Anomaly.UNKNOWN_CANCEL: Meaning(
        "a cancel of an order that is not in the book: nothing changed (rule 8)",
        Expected.INCOMPLETE,
    ),
    Anomaly.UNKNOWN_MODIFY: Meaning(
        "a modify of an order that is not in the book: it was inserted (rule 9)",
        Expected.INCOMPLETE,
    ),
    Anomaly.DUPLICATE_ADD: Meaning(
        "an add of an order that is in the book: it replaced the order (rule 7)", Expected.NEVER
    ),
    Anomaly.OVER_CANCEL: Meaning(
        "a cancel of more than was left: the order left (rule 8)", Expected.NEVER
    ),
    Anomaly.BAD_SIDE: Meaning(
        "an add or modify of no side: nothing changed (rule 7)", Expected.NEVER
    ),
    Anomaly.UNDEF_PRICE: Meaning(
        "an add or modify without a price: nothing changed (rule 7)", Expected.NEVER
    ),
    Anomaly.UNDEF_SIZE: Meaning(
        "an add or modify without a size: nothing changed (rule 19)", Expected.NEVER
    ),
    Anomaly.ZERO_SIZE: Meaning("an add of size 0: nothing changed (rule 7)", Expected.NEVER),
    Anomaly.SIDE_MISMATCH: Meaning(
        "a modify that names the other side: the order kept its own (rule 12)", Expected.NEVER
    ),
    Anomaly.MBP_RECORD: Meaning(
        "a price level among orders: nothing changed (rule 15)", Expected.NEVER
    ),
    Anomaly.TOB_CANCEL: Meaning(
        "a cancel of a top-of-book publisher, whose ids are none: nothing changed (rule 13)",
        Expected.ALWAYS,
    ),
    Anomaly.SNAPSHOT_REPLACED: Meaning(
        "a snapshot without a clear replaced what was there, as a later day's does (rule 14)",
        Expected.ALWAYS,
    ),
}


def status_reason(status: Status, since: int | None) -> str:
    """Why a book has its status; `since` is the record that gave it."""
    if since is None or status is Status.COLD:
        return "no clear and no snapshot since its stream began: a lower bound (rule 21)"
    if status is Status.SYNCED:
        return f"a clear or a snapshot gave it a known beginning at record {since:,}"
    return f"a gap was flagged at record {since:,}, with no clear or snapshot since (rule 17)"


def explained(anomaly: Anomaly, count: int, *, incomplete: bool) -> dict[str, Any]:
    """A count with its sentence, as JSON has it; `incomplete`: the book was cold or stale."""
    sentence, expected = MEANINGS[anomaly]
    return {
        "name": anomaly.name.lower(),
        "count": count,
        "meaning": sentence,
        "expected": expected is Expected.ALWAYS or (expected is Expected.INCOMPLETE and incomplete),
    }
