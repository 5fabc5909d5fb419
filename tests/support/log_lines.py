"""The logs of this process, as lines of JSON, for as long as a block runs."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from batonics.sinks import logs


@contextmanager
def configured_logs(*, as_json: bool = True) -> Iterator[None]:
    """Log on the present standard error; afterwards all is as it was, and nothing is logged."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    handlers = logging.getLogger().handlers
    logs.configure(as_json=as_json)
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
        logging.getLogger().handlers = handlers
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
