"""Removes rows of a lake: those of a source, or of a date.

The rule here: a removal is one commit. Readers that began before it keep the files until a vacuum.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batonics.lake.removals import RemovedRows, remove_from_catalog
from batonics.lake.storage import open_store
from batonics.model.errors import UsageError
from batonics.model.times import parse_date


@dataclass(frozen=True)
class RemoveRequest:
    """The rows to remove.

    Attributes:
        lake: the lake's directory, or `s3://BUCKET/PREFIX`.
        source: a file, the first of several files that are one stream, or the name of a live feed;
            None: every source.
        date: date of the rows, UTC: 2025-09-24; None: every date.

    Raises:
        UsageError: neither a source nor a date is given, or the date is none.
    """

    lake: str | Path
    source: str | None = None
    date: str | None = None

    def __post_init__(self) -> None:
        if self.source is None and self.date is None:
            raise UsageError("name what to remove: --source, --date or both")
        parse_date(self.date)


def remove_rows(request: RemoveRequest) -> RemovedRows:
    """Remove the rows of a source, of a date, or of a source on a date.

    Args:
        request: the rows.

    Raises:
        LakeError: there is no lake, or its catalog is damaged. UsageError: it has no such rows.
        OutputError: it cannot be written to.
    """
    day = parse_date(request.date)
    store = open_store(request.lake)
    return store.catalog.commit(
        remove_from_catalog(request.source, None if day is None else day.isoformat())
    )
