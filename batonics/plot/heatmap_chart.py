"""Depth over time as a chart.

The rule here: a gap is a gap. Where the market was closed, or no file covers the time, a new panel
begins; where the book is not known, there is neither a cell nor a line. Colours end at a quantile
of the sizes, so one large order makes no other one pale.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import Any

import numpy as np

from batonics.frames.charts import (
    ASK_COLOUR,
    ASK_SHADES,
    BID_COLOUR,
    BID_SHADES,
    OTHER_COLOUR,
    load_altair,
)
from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.history.heatmap import Heatmap
from batonics.jobs.file_history import HistoryInput
from batonics.jobs.heatmap import FileHeatmap, HeatmapRequest, make_file_heatmap
from batonics.model.mbo import UNDEF_PRICE
from batonics.model.times import NS_PER_DAY, Time, format_time, time_ns
from batonics.sources.inputs import find_inputs

HEATMAP_WIDTH, HEATMAP_HEIGHT = 960, 480
PANEL_WIDTH_MIN = 40
SIZE_QUANTILE = 0.98
"""Sizes from this quantile on have the strongest colour."""
NS_PER_MS = 1_000_000


def heatmap(  # noqa: PLR0913 - settings, by keyword
    files: str | PathLike[str] | list[str],
    symbol: str | None = None,
    *,
    publisher: int | None = None,
    start: Time | None = None,
    end: Time | None = None,
    rows: int = 80,
    columns: int = 300,
    session: str | None = None,
) -> Any:
    """The depth of a book of MBO files over time, its best prices, and its trades.

    Args:
        files: a file, or several that are one stream.
        symbol: the symbol, or instrument id; None: the files have one book.
        publisher: the publisher id, where several books have the symbol.
        start: the beginning: ISO 8601 (UTC) or nanoseconds; None: that of the data.
        end: the end; None: that of the data.
        rows: the most bands of prices.
        columns: the most columns of time. Each shows the book at its end.
        session: when the market is open, such as CMES or '17:00-16:00 America/Chicago'; each
            session has a panel.

    Returns:
        An `altair` chart.

    Raises:
        UsageError: there is no such book, or altair is not installed. InputError: a file cannot be
            read, or is damaged.
    """
    load_altair()  # before the files are read
    names = [str(files)] if isinstance(files, (str, PathLike)) else list(files)
    request = HeatmapRequest(
        HistoryInput(
            find_inputs(names), sessions=None if session is None else find_sessions(session)
        ),
        symbol,
        publisher,
        None if start is None else time_ns(start),
        None if end is None else time_ns(end),
        rows,
        columns,
    )
    return heatmap_chart(make_file_heatmap(request))


def heatmap_chart(found: FileHeatmap) -> Any:
    """The chart of a heatmap."""
    alt = load_altair()
    lengths = np.array([grid.columns.column_ns * grid.columns.number for grid in found.spans])
    widths = np.maximum(PANEL_WIDTH_MIN, np.rint(HEATMAP_WIDTH * lengths / lengths.sum())).astype(
        int
    )
    strongest = {
        side: _strongest([getattr(grid, side) for grid in found.spans])
        for side in ("bid_size", "ask_size")
    }
    panels = [
        _panel(
            grid, strongest, is_first=number == 0, is_last=number == len(found.spans) - 1
        ).properties(width=int(widths[number]), height=HEATMAP_HEIGHT)
        for number, grid in enumerate(found.spans)
    ]
    first, last = found.spans[0].columns.from_ns, found.spans[-1].columns.to_ns
    lines = [f"{format_time(first)} to {format_time(last)}", *found.notes]
    title = alt.Title(f"{found.symbol}: depth over time", subtitle=lines)
    chart = panels[0] if len(panels) == 1 else alt.hconcat(*panels, spacing=6)
    return chart.properties(title=title).configure_view(stroke="#d8d8d2")


def _panel(grid: Heatmap, strongest: dict[str, int], *, is_first: bool, is_last: bool) -> Any:
    """The layers of one span of time."""
    alt = load_altair()
    columns, bands = grid.columns, grid.bands
    across = alt.Scale(
        type="utc", domain=[_ms(columns.from_ns), _ms(columns.to_ns)], nice=False, clamp=True
    )
    prices = alt.Scale(domain=[bands.low / 1e9, bands.high / 1e9], nice=False, clamp=False)
    is_long = columns.to_ns - columns.from_ns > 2 * NS_PER_DAY
    times = alt.Axis(format="%m-%d %H:%M" if is_long else "%H:%M:%S", labelOverlap=True)
    x = alt.X("start:T", title="time (UTC)", scale=across, axis=times)
    axis = alt.Axis() if is_first else None
    y = alt.Y("low:Q", title="price", scale=prices, axis=axis)
    layers = [
        alt.Chart(alt.InlineData(values=list(_cells(grid, side))))
        .mark_rect()
        .encode(
            x=x,
            x2="end:T",
            y=y,
            y2="high:Q",
            color=alt.Color(
                "size:Q",
                title=f"{side[:3]} size",
                legend=alt.Legend() if is_last else None,
                scale=alt.Scale(domain=[0, strongest[side]], range=list(shades), clamp=True),
            ),
            tooltip=["start:T", "low:Q", "size:Q"],
        )
        for side, shades in (("bid_size", BID_SHADES), ("ask_size", ASK_SHADES))
    ]
    layers += [
        alt.Chart(alt.InlineData(values=list(_best_prices(grid, best))))
        .mark_line(color=colour, interpolate="step-before", strokeWidth=1, clip=True)
        .encode(
            x=alt.X("end:T", scale=across, axis=times), y=alt.Y("price:Q", scale=prices, axis=axis)
        )
        for best, colour in (("best_bid", BID_COLOUR), ("best_ask", ASK_COLOUR))
    ]
    trades = alt.Chart(alt.InlineData(values=list(_trades(grid))))
    layers.append(
        trades.mark_circle(stroke="white", strokeWidth=0.5, opacity=0.8).encode(
            x=alt.X("end:T", scale=across, axis=times),
            y=alt.Y("price:Q", scale=prices, axis=axis),
            size=alt.Size("volume:Q", legend=None, scale=alt.Scale(rangeMax=220)),
            color=alt.Color(
                "side:N",
                title="trades",
                legend=alt.Legend() if is_last else None,
                scale=alt.Scale(
                    domain=["buy", "sell", "other"], range=[BID_COLOUR, ASK_COLOUR, OTHER_COLOUR]
                ),
            ),
            tooltip=["end:T", "side:N", "volume:Q"],
        )
    )
    return alt.layer(*layers).resolve_scale(color="independent")


def _cells(grid: Heatmap, side: str) -> Iterator[dict[str, Any]]:
    """The cells of a side that have a size."""
    sizes = getattr(grid, side)
    columns, bands = grid.columns, grid.bands
    for column, row in np.argwhere(sizes > 0).tolist():
        start, low = columns.from_ns + column * columns.column_ns, bands.low + row * bands.height
        yield {
            "start": _ms(start),
            "end": _ms(start + columns.column_ns),
            "low": low / 1e9,
            "high": (low + bands.height) / 1e9,
            "size": int(sizes[column, row]),
        }


def _best_prices(grid: Heatmap, best: str) -> Iterator[dict[str, Any]]:
    """The best prices of a side; null where there is none, which breaks the line."""
    for end, price in zip(grid.columns.ends().tolist(), getattr(grid, best).tolist(), strict=True):
        yield {"end": _ms(end), "price": None if price == UNDEF_PRICE else price / 1e9}


def _trades(grid: Heatmap) -> Iterator[dict[str, Any]]:
    """The traded size of each cell and side of the aggressor."""
    columns, bands = grid.columns, grid.bands
    for side in ("buy", "sell", "other"):
        volumes = getattr(grid, f"{side}_volume")
        for column, row in np.argwhere(volumes > 0).tolist():
            yield {
                "end": _ms(columns.from_ns + (column + 1) * columns.column_ns),
                "price": (bands.low + (row + 0.5) * bands.height) / 1e9,
                "side": side,
                "volume": int(volumes[column, row]),
            }


def _strongest(grids: list[Any]) -> int:
    """The size that has the strongest colour: a quantile of the sizes of all cells."""
    sizes = np.concatenate([grid[grid > 0] for grid in grids])
    return max(1, int(np.quantile(sizes, SIZE_QUANTILE))) if len(sizes) else 1


def _ms(ts_ns: int) -> float:
    """Milliseconds since the epoch, as Vega takes times."""
    return ts_ns / NS_PER_MS
