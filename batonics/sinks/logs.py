"""Structured logs on standard error: one line of JSON an event, or text on a terminal.

The rule: an event has a name in snake_case and its facts as fields; no fact is in prose only, and
no key or token is ever a field.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


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
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if as_json:
        renderer = structlog.processors.JSONRenderer(serializer=_dumps)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks
            if as_json
            else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    if reports_as_json:
        _report_as_json()


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


def _report_as_json() -> None:
    """Log what Python and other libraries would print on standard error as text."""
    import logging
    import threading

    log = logger("python")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info if record.exc_info and record.exc_info[0] else None
            log.log(
                record.levelno,
                "log",
                logger=record.name,
                message=record.getMessage(),
                exc_info=error,
            )

    logging.captureWarnings(capture=True)
    logging.getLogger().handlers = [Handler(logging.WARNING)]
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
