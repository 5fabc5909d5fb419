"""The answer of `/v1/heatmap`, as JSON and as an Arrow stream.

The rule here: both have the same integers. In JSON a grid is a list of columns, each a list of its
bands, the lowest first. In Arrow a row is a column, and the schema's metadata have the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from typing_extensions import TypedDict

from batonics.book.state import Status
from batonics.history.heatmap import Heatmap
from batonics.model.mbo import UNDEF_PRICE
from batonics.model.prices import format_price
from batonics.model.times import format_time
from batonics.server.history_documents import Data

METADATA_KEY = b"batonics.heatmap"
COLUMN_SIZES = ("best_bid_size", "best_ask_size", "buy_total", "sell_total", "other_total")
GRIDS = ("bid_size", "ask_size", "buy_volume", "sell_volume", "other_volume")


class HeatmapHead(TypedDict):
    """What a heatmap is of, and its axes."""

    symbol: str | None
    publisher_id: int
    instrument_id: int
    data: Data
    warnings: list[str]
    columns: int
    column_ns: int
    rows: int
    low: str | None
    low_1e9: int
    row_1e9: int
    tick_1e9: int


HeatmapSpan = TypedDict("HeatmapSpan", {"from": str | None, "to": str | None})
"""The time that the first column begins after, and the end of the last one."""


class HeatmapDocument(HeatmapHead, HeatmapSpan):
    """A heatmap.

    A grid has a list for each column; all else that is a list has a value for each. The totals
    count the trades at all prices, also those outside of the bands.
    """

    status: list[str | None]
    best_bid_1e9: list[int | None]
    best_ask_1e9: list[int | None]
    best_bid_size: list[int]
    best_ask_size: list[int]
    buy_total: list[int]
    sell_total: list[int]
    other_total: list[int]
    bid_size: list[list[int]]
    ask_size: list[list[int]]
    buy_volume: list[list[int]]
    sell_volume: list[list[int]]
    other_volume: list[list[int]]


class HeatmapBook(TypedDict):
    """The book of a heatmap, and what is known of its data."""

    symbol: str | None
    publisher_id: int
    instrument_id: int
    data: Data
    warnings: list[str]


def heatmap_json(book: HeatmapBook, grid: Heatmap) -> bytes:
    """A heatmap as JSON."""
    document: dict[str, Any] = _head(book, grid)
    document["status"] = _status_names(grid)
    document["best_bid_1e9"] = _known_prices(grid.best_bid)
    document["best_ask_1e9"] = _known_prices(grid.best_ask)
    for name in (*COLUMN_SIZES, *GRIDS):
        document[name] = np.ascontiguousarray(getattr(grid, name))
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def heatmap_arrow(book: HeatmapBook, grid: Heatmap) -> bytes:
    """A heatmap as an Arrow IPC stream of one batch, with a row for each column of time."""
    import pyarrow as pa

    band_list = pa.list_(pa.int64(), grid.bands.number)
    arrays = {
        "ts": pa.array(grid.columns.ends(), pa.timestamp("ns", "UTC")),
        "status": pa.array(_status_names(grid), pa.string()),
        "best_bid_1e9": pa.array(_known_prices(grid.best_bid), pa.int64()),
        "best_ask_1e9": pa.array(_known_prices(grid.best_ask), pa.int64()),
    }
    arrays |= {name: pa.array(getattr(grid, name)) for name in COLUMN_SIZES}
    for name in GRIDS:
        values = pa.array(np.ascontiguousarray(getattr(grid, name)).reshape(-1))
        arrays[name] = pa.FixedSizeListArray.from_arrays(values, type=band_list)
    schema = pa.schema(
        [pa.field(name, array.type) for name, array in arrays.items()],
        metadata={METADATA_KEY: orjson.dumps(_head(book, grid))},
    )
    batch = pa.record_batch(list(arrays.values()), schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _head(book: HeatmapBook, grid: Heatmap) -> dict[str, Any]:
    doubts = [name for name in ("cold", "stale") if name in _status_names(grid)]
    columns, bands = grid.columns, grid.bands
    return {
        **book,
        "warnings": [*book["warnings"], *doubts],
        "from": format_time(columns.from_ns),
        "to": format_time(columns.to_ns),
        "columns": columns.number,
        "column_ns": columns.column_ns,
        "rows": bands.number,
        "low": format_price(bands.low),
        "low_1e9": bands.low,
        "row_1e9": bands.height,
        "tick_1e9": grid.tick,
    }


def _status_names(grid: Heatmap) -> list[str | None]:
    names = {int(status): status.name.lower() for status in Status}
    return [names.get(status) for status in grid.status.tolist()]


def _known_prices(prices: np.ndarray[Any, np.dtype[np.int64]]) -> list[int | None]:
    return [None if price == UNDEF_PRICE else price for price in prices.tolist()]
