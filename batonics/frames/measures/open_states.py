"""Which states of books are of an open market.

The rule here: averages and sums of states leave out the states of markets that are not open, and
say how many. Trades are never left out, and neither are cold books.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator

import polars as pl

from batonics.frames.columns.book_state import CLOSED, CROSSED, LEFT_OUT_KINDS, OPEN_STATUS, STATUS
from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.measures.book_measures import IS_CROSSED, IS_TRADE
from batonics.frames.measures.stateful_expressions import StatefulExpressions
from batonics.model.errors import DataWarning

_UNKNOWN_SESSIONS = (
    "sessions_known is false: no status and no session says when the market was open, so times"
    " without trading, such as a daily break, count in the windows; scan_mbo(..., session=) and"
    " statuses= say it"
)


def mark_left_out(
    annotated: Iterable[pl.DataFrame], include: Collection[str]
) -> Iterator[pl.DataFrame]:
    """Rows of `annotate_rows` with the columns that say which states are left out.

    Args:
        annotated: the frames, perhaps with `status`.
        include: what is kept, of `LEFT_OUT_KINDS`.

    The columns added or replaced:
        is_left_out (Boolean): whether the book of the row is not of an open market.
        unknown (Int64): 1 if the status is not known, else 0.
        series (Int64): the number of the series. Two rows of a book have the same one if both or
            none are of an open market, and in between no state is left out and the book is not
            cleared.
    """
    count = StatefulExpressions(
        lambda rows: rows.with_columns(pl.col("left_out_so_far").cum_sum().over(BOOK_KEY))
    )
    for frame in annotated:
        status = pl.col(STATUS) if STATUS in frame.columns else pl.lit(None, pl.String)
        is_closed = (status.cast(pl.String) != OPEN_STATUS).fill_null(value=False)
        kinds = {CROSSED: IS_CROSSED, CLOSED: is_closed}
        left_out = [kinds[kind] for kind in LEFT_OUT_KINDS if kind not in include]
        is_left_out = pl.any_horizontal(left_out) if left_out else pl.lit(value=False)
        marked = frame.with_columns(
            is_left_out=is_left_out, unknown=status.is_null().cast(pl.Int64)
        ).with_columns(left_out_so_far=(pl.col("is_left_out") & ~IS_TRADE).cast(pl.Int64))
        # Numbers of an open market are odd.
        is_open = (~pl.col("is_left_out")).cast(pl.Int64)
        series = 2 * (pl.col("series") + pl.col("left_out_so_far")) + is_open
        yield count(marked).with_columns(series=series).drop("left_out_so_far")


def warn_of_unknown_sessions(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Frames with `sessions_known`; a DataWarning comes with the first row where it is false."""
    is_given = False
    for frame in frames:
        if not is_given and not frame["sessions_known"].all():
            is_given = True
            warnings.warn(_UNKNOWN_SESSIONS, DataWarning, stacklevel=2)
        yield frame
