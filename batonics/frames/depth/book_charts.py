"""Charts of books: depth by price, and the queue of a level.

The rule here: a chart shows the market and not its outliers: prices far away that hold little are
cut, and the title says how much size is outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from batonics.frames.charts import ASK_COLOUR, ASK_SHADES, BID_COLOUR, BID_SHADES, load_altair
from batonics.model.errors import UsageError
from batonics.model.prices import format_price, parse_price

if TYPE_CHECKING:
    from batonics.frames.depth.books import Books

SIZE_SHOWN = 0.9
"""The share of a side's size that a depth chart shows, from the best price on."""
WIDTH, HEIGHT = 720, 300
QUEUE_HEIGHT = 60


def depth_chart(books: Books, symbol: str | None = None) -> Any:
    """The size that stands at each price or a better one, for bids and asks.

    Args:
        books: the books.
        symbol: the symbol; None: there is only one. Publishers of a symbol are summed.

    Returns:
        An `altair.Chart`.

    Raises:
        UsageError: no book has the symbol, or altair is not installed.
    """
    alt = load_altair()
    name = _find_symbol(books, symbol)
    levels = books.consolidated().filter(pl.col("symbol") == name)
    rows = levels.sort("side", "level").with_columns(
        depth=pl.col("size").cum_sum().over("side"), total=pl.col("size").sum().over("side")
    )
    before = pl.col("depth") - pl.col("size")
    shown = rows.filter(before < SIZE_SHOWN * pl.col("total"))
    outside = sum(rows["size"].to_list()) - sum(shown["size"].to_list())
    title = f"{name}: size at a price or better" + _doubts(books)
    if outside:
        title += f"; {outside:,} further away"
    values = [
        {"side": side, "price": price / 1e9, "depth": depth, "size": size}
        for side, price, depth, size in shown.select(
            pl.col("side").cast(pl.String).replace({"B": "bid", "A": "ask"}),
            "price",
            "depth",
            "size",
        ).iter_rows()
    ]
    return (
        alt.Chart(alt.InlineData(values=values), title=title, width=WIDTH, height=HEIGHT)
        .mark_area(opacity=0.5, line=True)
        .encode(
            # A bid's size holds down to the next bid, an ask's up to the next ask.
            x=alt.X("price:Q", title="price", scale=alt.Scale(zero=False)),
            y=alt.Y("depth:Q", title="size").stack(None),
            color=alt.Color(
                "side:N",
                title=None,
                scale=alt.Scale(domain=["bid", "ask"], range=[BID_COLOUR, ASK_COLOUR]),
            ),
            tooltip=["side:N", "price:Q", "size:Q", "depth:Q"],
        )
    )


def queue(
    books: Books, symbol: str | None = None, *, side: str = "B", price: str | None = None
) -> Any:
    """The queue of a level: a block for each order, the first in priority on the left.

    Args:
        books: the books.
        symbol: the symbol; None: there is only one.
        side: B, the bids, or A, the asks.
        price: the price of the level, such as "64.80"; None: the best price.

    Returns:
        An `altair.Chart`: each block is as wide as its size. Publishers stand above each other.

    Raises:
        UsageError: no book has the symbol or the level, or altair is not installed.
    """
    alt = load_altair()
    name = _find_symbol(books, symbol)
    if side not in {"B", "A"}:
        raise UsageError(f"side is {side!r}, expected B (bids) or A (asks)")
    orders = books.orders().filter(pl.col("symbol") == name, pl.col("side") == side)
    best = orders["price"].max() if side == "B" else orders["price"].min()
    price_1e9 = best if price is None else parse_price(price)
    level = orders.filter(pl.col("price") == price_1e9)
    if level.is_empty():
        place = f" at {price}" if price is not None else ""
        raise UsageError(f"{name} has no order on side {side}{place}")
    word = "bid" if side == "B" else "ask"
    title = f"{name}: queue of the {word} {format_price(int(level['price'][0]))}{_doubts(books)}"
    book = "publisher_id", "instrument_id"
    rows = level.with_columns(ahead=(pl.col("size").cum_sum() - pl.col("size")).over(book))
    values = [
        {
            "publisher": str(row["publisher_id"]),
            "order": str(row["order_id"]),
            "place": row["position"],
            "size": row["size"],
            "ahead": row["ahead"],
            "end": row["ahead"] + row["size"],
        }
        for row in rows.iter_rows(named=True)
    ]
    dark, light = (BID_SHADES if side == "B" else ASK_SHADES)[::-1]
    return (
        alt.Chart(alt.InlineData(values=values), title=title, width=WIDTH)
        .mark_rect(stroke="white", height=QUEUE_HEIGHT)
        .encode(
            x=alt.X("ahead:Q", title="size from the front of the queue"),
            x2="end:Q",
            y=alt.Y("publisher:N", title="publisher"),
            color=alt.Color("place:Q", legend=None, scale=alt.Scale(range=[dark, light])),
            tooltip=["order:N", "place:Q", "size:Q", "ahead:Q"],
        )
        .properties(height=alt.Step(QUEUE_HEIGHT + 10))
    )


def _find_symbol(books: Books, symbol: str | None) -> str:
    if symbol is not None:
        books.symbol_levels(symbol)  # raises if there is none
        return symbol
    names = books.summary()["symbol"].drop_nulls().unique().sort().to_list()
    if len(names) != 1:
        listed = ", ".join(names[:20])
        raise UsageError(f"{len(names)} symbols: give one of {listed}")
    return str(names[0])


def _doubts(books: Books) -> str:
    """What makes the books doubtful, for a title."""
    return "".join(f" ({line})" for line in books.describe_warnings())
