"""The sessions of a market as the value of a query's parameter.

The rule here: a query gets the sessions around the times of the rows that it may read, as a list of
STRUCT(day DATE, open_ns BIGINT, close_ns BIGINT) in order. A session with a break is two elements
of the same day. `SELECT unnest($sessions, recursive := true)` makes a table of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from batonics.frames.scan.exchange_sessions import ExchangeSessions
from batonics.frames.scan.sessions import SessionHours, SessionTable
from batonics.model.times import parse_time

_ANY_TIME_NS = parse_time("2024-01-02")
"""What sessions are around if there are no rows: a list without elements has no type."""


def replace_sessions(
    parameters: Mapping[str, object], find_times: Callable[[], Iterable[int]]
) -> dict[str, object]:
    """The parameters with sessions in place of each `SessionCalendar`.

    Args:
        parameters: values, by name.
        find_times: gives the times of rows, or the least and the greatest of them; it is called if
            there are sessions.

    Raises:
        UsageError: the calendar does not know the sessions of a time.
    """
    calendars = {
        name: value
        for name, value in parameters.items()
        if isinstance(value, SessionHours | ExchangeSessions)
    }
    if not calendars:
        return dict(parameters)
    times = np.array([time for time in find_times() if time > 0] or [_ANY_TIME_NS])
    return {**parameters, **{name: _spans(value, times) for name, value in calendars.items()}}


def _spans(
    sessions: SessionHours | ExchangeSessions, times: NDArray[np.int64]
) -> list[dict[str, object]]:
    table = SessionTable(sessions)
    table.cover(times)
    columns = (column.tolist() for column in (table.spans.open_ns, table.spans.close_ns))
    days = table.spans.day.astype("datetime64[D]").tolist()
    return [
        {"day": day, "open_ns": open_ns, "close_ns": close_ns}
        for day, open_ns, close_ns in zip(days, *columns, strict=True)
    ]
