"""The rows of /symbols, of all books at once."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from batonics.server.query_params import PAGE_ROWS
from batonics.server.replica import BookReplica
from batonics.server.symbol_pages import PageRequest, SymbolPages


def symbol_rows(replica: BookReplica) -> list[dict[str, Any]]:
    """The rows of the first page."""
    page = asyncio.run(SymbolPages(replica).page(PageRequest(PAGE_ROWS, None)))
    rows: list[dict[str, Any]] = orjson.loads(page.body)
    return rows
