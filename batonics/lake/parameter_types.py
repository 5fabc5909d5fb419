"""Types of the parameters of queries, and how their values are read from text.

| type                          | example                      | type in DuckDB                   |
|-------------------------------|------------------------------|----------------------------------|
| BIGINT, DOUBLE, BOOLEAN       | 5, 0.5, true                 | the same                         |
| VARCHAR                       | text                         | the same                         |
| DATE                          | 2025-09-24                   | DATE                             |
| TIMESTAMP                     | ISO 8601 (UTC), nanoseconds  | BIGINT: nanoseconds of the epoch |
| DURATION                      | 100ms, 5s                    | BIGINT: nanoseconds              |
| PRICE                         | 64.80                        | BIGINT of 1e-9                   |
| ZONE                          | America/Chicago              | VARCHAR: a time zone             |
| SESSIONS                      | CMES, 9:30-16:00 Asia/Tokyo  | STRUCT[]: see `session_spans.py` |
| COVERAGE                      | lake                         | STRUCT[]: see `coverage.py`      |
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date

from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.lake.coverage import parse_lake_coverage
from batonics.model.errors import UsageError
from batonics.model.prices import parse_price
from batonics.model.times import duration_ns, find_time_zone, format_time, parse_time

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError
    return text.lower() == "true"


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError
    return date.fromisoformat(text)


def _integer(text: str) -> int:
    value = int(text.replace("_", ""))
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _timestamp(text: str) -> int:
    time_ns = parse_time(text)
    if time_ns >= 2**63:
        raise UsageError(
            f"{text!r} is after {format_time(2**63 - 1)}, the last time a row can have"
        )
    return time_ns


def _zone(text: str) -> str:
    find_time_zone(text)
    return text


PARAMETER_TYPES: dict[str, Callable[[str], object]] = {
    "BIGINT": _integer,
    "DOUBLE": _number,
    "BOOLEAN": _boolean,
    "VARCHAR": str,
    "DATE": _date,
    "TIMESTAMP": _timestamp,
    "DURATION": duration_ns,
    "PRICE": parse_price,
    "ZONE": _zone,
    "SESSIONS": find_sessions,
    "COVERAGE": parse_lake_coverage,
}
"""By type: what makes the value of a text. It raises ValueError, or UsageError with a reason."""
