"""The parameters of requests for books, orders and records of files.

The rule here: a parameter that means nothing is a `ProblemError` with what is expected.
"""

from __future__ import annotations

from batonics.history.book_history import Moment
from batonics.model.errors import UsageError
from batonics.model.times import parse_time
from batonics.server.api_contract import RECORD_PREFIX
from batonics.server.query_params import PAGE_ROWS, ProblemError, parse_uint

Params = dict[str, str]
"""The parameters of a request by name."""


def parse_time_param(params: Params, name: str) -> int | None:
    """A time; None if the parameter is absent."""
    if name not in params:
        return None
    try:
        return min(parse_time(params[name]), 2**63 - 1)
    except UsageError as error:
        raise ProblemError(400, "Not a time", f"{name}: {error}") from None


def parse_publisher(params: Params) -> int | None:
    """The publisher id; None if the parameter is absent."""
    publisher = parse_uint(params, "publisher")
    if publisher is not None and publisher >= 2**16:
        raise ProblemError(400, "Not a publisher", "publisher must be a number below 2^16")
    return publisher


def parse_limit(params: Params) -> int:
    """The most rows of a page."""
    return parse_count(params, "limit", PAGE_ROWS, PAGE_ROWS)


def parse_count(params: Params, name: str, default: int, maximum: int) -> int:
    """A number from 1 to a maximum; the default if the parameter is absent."""
    count = default if name not in params else parse_uint(params, name) or 0
    if not 1 <= count <= maximum:
        raise ProblemError(400, "Not a number", f"{name} must be 1 to {maximum}")
    return count


def parse_cursor(params: Params) -> int | None:
    """The place that a cursor names; None if the parameter is absent."""
    text = params.get("cursor")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ProblemError(400, "Not a cursor", "cursor must be `next` of the page before")
    return int(text)


def parse_choice(params: Params, name: str, choices: tuple[str, ...], default: str) -> str:
    """One of some words; the default if the parameter is absent."""
    choice = params.get(name, default)
    if choice not in choices:
        raise ProblemError(400, f"Not a {name}", f"{name} must be {' or '.join(choices)}")
    return choice


def parse_order_id(params: Params) -> int:
    """The id of an order."""
    text = params["order_id"]
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 2**64):
        raise ProblemError(400, "Not a number", "an order id is a number below 2^64")
    return int(text)


def parse_moment(params: Params, name: str) -> Moment:
    """A moment: a time, or after the record of `record:NUMBER`; the end if it is absent."""
    text = params.get(name, "")
    if not text.startswith(RECORD_PREFIX):
        return Moment(parse_time_param(params, name))
    number = text.removeprefix(RECORD_PREFIX)
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise ProblemError(400, "Not a record", f"{name}: expected {RECORD_PREFIX}NUMBER")
    return Moment(record=int(number))
