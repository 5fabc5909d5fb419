"""Lists what a lake has.

The rule here: the lists come from the catalog alone; no file of rows is read.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import polars as pl

from batonics.lake.lake import Lake
from batonics.model.times import find_time_zone


class LakeListing(Enum):
    """What to list: schemas, parts or sources."""

    SCHEMAS = "schemas"
    PARTS = "parts"
    SOURCES = "sources"


def list_lake(
    lake: str | Path, listing: LakeListing = LakeListing.SCHEMAS, tz: str = "UTC"
) -> pl.DataFrame:
    """The list, one row for each schema or part, or for each schema of each source.

    Args:
        lake: the lake's directory, or `s3://BUCKET/PREFIX`.
        listing: what to list.
        tz: the time zone of its times.

    Raises:
        LakeError: there is no lake, or its catalog is damaged. UsageError: there is no such zone.
    """
    find_time_zone(tz)
    opened = Lake(lake)
    if listing is LakeListing.PARTS:
        return opened.parts().select("path", "rows", "bytes", "digest")
    found = opened.sources() if listing is LakeListing.SOURCES else opened.contents()
    return found.with_columns(pl.selectors.datetime().dt.convert_time_zone(tz))
