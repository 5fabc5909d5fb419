"""Structured logs on standard error: one line of JSON an event, or text on a terminal.

The rule: an event has a name in snake_case and its facts as fields; no fact is in prose only. No
line has a secret: a traceback has no values of variables. No line is repeated without bound:
`EventThrottle` drops lines of an event that comes too often, and the next line counts them.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

LINES_MAX, TRACEBACK_LINES = 100, 20
"""Lines of one event at once, and how many of them a line with a traceback counts."""
TRACEBACK_FRAMES_MAX = 20
EVENTS_MAX = 1000


def configure(*, as_json: bool | None = None, level: str = "info") -> None:
    """Configure the logs of this process.

    Args:
        as_json: write lines of JSON, and what Python itself reports (warnings, uncaught errors,
            other libraries' logs) as lines of JSON too; None: write JSON unless standard error is
            a terminal.
        level: the least level that is written.
    """
    import structlog

    reports_as_json = bool(as_json)

    as_json = not sys.stderr.isatty() if as_json is None else as_json
    renderer: Any = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    trace = structlog.tracebacks.ExceptionDictTransformer(
        show_locals=False, max_frames=TRACEBACK_FRAMES_MAX
    )
    if as_json:
        renderer = structlog.processors.JSONRenderer(serializer=_dumps)
    structlog.configure(
        processors=[
            EventThrottle(structlog.DropEvent),
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(trace)
            if as_json
            else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    _log_reports_of_libraries()
    if reports_as_json:
        _report_as_json()


class EventThrottle:
    """Drops log lines of an event that comes too often (a processor of structlog).

    LINES_MAX lines of an event are written at once, then one a second; a line with a traceback
    counts as TRACEBACK_LINES. The next line that is written has the number of those `dropped`.

    Args:
        drop: raised for a line that is dropped.
        clock: the time in seconds.
    """

    def __init__(
        self, drop: type[BaseException], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._drop, self._clock = drop, clock
        self._events: dict[tuple[Any, ...], tuple[float, float, int]] = {}

    def __call__(self, _: object, level: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """The line, if it may be written."""
        if len(self._events) > EVENTS_MAX:  # names of events are few; texts of libraries may not be
            self._events.clear()
        key = level, event.get("event"), event.get("logger"), event.get("template")
        event.pop("template", None)
        now = self._clock()
        # Lines that are left, as of when, and lines dropped.
        left, at, dropped = self._events.get(key, (float(LINES_MAX), now, 0))
        left = min(left + now - at, LINES_MAX)
        cost = TRACEBACK_LINES if event.get("exc_info") else 1
        if left < cost:
            self._events[key] = left, now, dropped + 1
            raise self._drop
        self._events[key] = left - cost, now, 0
        return {**event, "dropped": dropped} if dropped else event


class LogThrottle:
    """Limits log lines on events that may happen a thousand times a second.

    Args:
        interval_s: the least time between two lines on one event.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._logged_at: dict[str, float] = {}

    def is_due(self, event: str, now: float) -> bool:
        """Whether a line on this event is due; if so, it counts as logged now."""
        if now - self._logged_at.get(event, -math.inf) < self._interval_s:
            return False
        self._logged_at[event] = now
        return True


def error_as_json(message: str, exit_code: int) -> str:
    """The line of JSON of an error that ends a command."""
    event = {"event": "command_failed", "level": "error", "timestamp": _now()}
    return json.dumps({"message": message, "exit_code": exit_code, **event})


def warning_as_json(message: str) -> str:
    """The line of JSON of a warning of a command that goes on."""
    event = {"event": "input_lost", "level": "warning", "timestamp": _now()}
    return json.dumps({"message": message, **event})


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _log_reports_of_libraries() -> None:
    """Log what other libraries report (asyncio, aiohttp, urllib3) as events of ours."""
    import logging

    log = logger("python")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info if record.exc_info and record.exc_info[0] else None
            log.log(
                record.levelno,
                "log",
                logger=record.name,
                message=record.getMessage(),
                template=record.msg,
                exc_info=error,
            )

    logging.getLogger().handlers = [Handler(logging.WARNING)]


def _report_as_json() -> None:
    """Log what Python itself would print on standard error as text."""
    import logging
    import threading

    log = logger("python")
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda kind, error, trace: log.critical(
        "uncaught_error", exc_info=(kind, error, trace)
    )
    threading.excepthook = lambda hook: log.critical(
        "uncaught_error",
        thread=hook.thread.name if hook.thread else None,
        exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback),
    )
    sys.unraisablehook = lambda hook: log.error(
        "unraisable_error", exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback)
    )


def logger(room: str) -> FilteringBoundLogger:
    """The logger of a package, such as `server`."""
    import structlog

    log: FilteringBoundLogger = structlog.get_logger(room=room)
    return log


def _dumps(value: Any, **_: Any) -> str:
    import orjson

    return orjson.dumps(value, default=str).decode()
