"""Structured logs on standard error: one line of JSON an event, or text on a terminal.

The rule: an event has a name in snake_case and its facts as fields; no fact is in prose only, and
no key or token is ever a field.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


def configure(*, as_json: bool | None = None, level: str = "info") -> None:
    """Configure logging, once in a process; text is the default if standard error is a terminal."""
    import structlog

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


def logger(room: str) -> FilteringBoundLogger:
    """The logger of a package, such as `server`."""
    import structlog

    log: FilteringBoundLogger = structlog.get_logger(room=room)
    return log


def _dumps(value: Any, **_: Any) -> str:
    import orjson

    return orjson.dumps(value, default=str).decode()
