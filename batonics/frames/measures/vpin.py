"""VPIN, a measure over buckets of equal volume.

The rule here: open buckets keep exact integers: the volumes bought and sold.

VPIN (Easley, López de Prado, O'Hara, "Flow toxicity and liquidity in a high-frequency world", 2012)
is the mean of abs(V_b - V_s) / V over the last n buckets of V units of volume each. V_b and V_s are
the volumes bought and sold in a bucket. A trade that overfills a bucket is divided between it and
the next ones. The paper classifies volume in bulk; here the sign of a trade classifies it, and a
trade without a sign is in no bucket, so V_b + V_s = V. A clear of the book does not end a bucket.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import polars as pl

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.book_measures import EVENT_COLUMNS, IS_TRADE
from batonics.frames.measures.stateful_expressions import StatefulExpressions, check_mbp_columns
from batonics.frames.measures.trade_measures import INPUT_COLUMNS, annotate_rows
from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.model.errors import UsageError

VPIN_SCHEMA = pl.Schema(
    {
        **{name: mbp_schema(1)[name] for name in EVENT_COLUMNS},
        **dict.fromkeys(("bucket", "buy_volume", "sell_volume"), pl.Int64()),
        "vpin": pl.Float64(),
    }
)


_BUCKET_VOLUME_MAX = 2**32
"""The maximum volume of a bucket. It exceeds any trade, and sums of volumes fit an int64."""


def vpin_source(rows: pl.LazyFrame, *, bucket_volume: int, n: int) -> pl.LazyFrame:
    """VPIN: one row for every filled bucket.

    Args:
        rows: MBP rows of any depth, in stream order.
        bucket_volume: the volume V of a bucket.
        n: the number of buckets of the mean.

    Returns:
        An IO source of the columns `EVENT_COLUMNS` of the trade that filled the bucket; `bucket`
        (its number within its book, from 0); `buy_volume` and `sell_volume` (V_b and V_s); and
        `vpin` (Float64), null for the first n - 1 buckets. Rows are in the order in which buckets
        are filled.

    Raises:
        UsageError: a number is not positive, or a column is missing or has another dtype.
    """
    check_mbp_columns(rows.collect_schema(), mbp_schema(1), INPUT_COLUMNS)
    if not 1 <= bucket_volume <= _BUCKET_VOLUME_MAX:
        raise UsageError(f"buckets of {bucket_volume}, expected a volume from 1 to 2^32")
    if n < 1:
        raise UsageError(f"a mean over {n} buckets, expected 1 or more")

    def plan(columns: Collection[str]) -> DerivationPlan:  # noqa: ARG001 - all are made together
        return DerivationPlan(INPUT_COLUMNS, lambda frames: vpin_frames(frames, bucket_volume, n))

    return derived_source("MBP VPIN", rows, VPIN_SCHEMA, plan)


def vpin_frames(
    frames: Iterable[pl.DataFrame], bucket_volume: int, n: int
) -> Iterator[pl.DataFrame]:
    """Frames of `VPIN_SCHEMA`: one row for each filled bucket."""
    fill_volume = StatefulExpressions(
        lambda trades: trades.with_columns(pl.col("until").cum_sum().over(BOOK_KEY))
    )
    imbalance = (pl.col("buy_volume") - pl.col("sell_volume")).abs()
    vpin = imbalance.rolling_sum(n).over(BOOK_KEY) / float(n * bucket_volume)
    add_vpin = StatefulExpressions(lambda buckets: buckets.with_columns(vpin=vpin), rows=n - 1)
    buckets: pl.DataFrame | None = None
    for frame in annotate_rows(frames):
        trades = frame.filter(IS_TRADE, pl.col("signed_volume") != 0)
        filled = fill_volume(trades.with_columns(until=pl.col("size").cast(pl.Int64)))
        parts = _bucket_parts(filled, bucket_volume)
        buckets = _merge_buckets(parts if buckets is None else pl.concat([buckets, parts]))
        is_full = pl.col("buy_volume") + pl.col("sell_volume") == bucket_volume
        yield add_vpin(buckets.filter(is_full)).select(list(VPIN_SCHEMA))
        buckets = buckets.filter(~is_full)


def _bucket_parts(trades: pl.DataFrame, bucket_volume: int) -> pl.DataFrame:
    """Divide trades at the ends of buckets; `until` is the volume of the book up to a trade."""
    until, bucket = pl.col("until"), pl.col("bucket")
    since = until - pl.col("size").cast(pl.Int64)
    first, last = since // bucket_volume, (until - 1) // bucket_volume
    volume = pl.min_horizontal(until, (bucket + 1) * bucket_volume) - pl.max_horizontal(
        since, bucket * bucket_volume
    )
    return (
        trades.lazy()
        .with_columns(bucket=pl.int_ranges(first, last + 1))
        .explode("bucket")
        .with_columns(
            buy_volume=pl.when(pl.col("sign") > 0).then(volume).otherwise(0),
            sell_volume=pl.when(pl.col("sign") < 0).then(volume).otherwise(0),
        )
        .select(*EVENT_COLUMNS, "bucket", "buy_volume", "sell_volume")
        .collect(engine="in-memory")
    )


def _merge_buckets(parts: pl.DataFrame) -> pl.DataFrame:
    """Merge the parts of each bucket, in the order of their last parts."""
    return (
        parts.lazy()
        .with_columns(place=pl.int_range(pl.len()))
        .group_by([*BOOK_KEY, "bucket"], maintain_order=True)
        .agg(
            pl.col("ts_event", "ts_recv", "sequence", "place").last(),
            pl.col("buy_volume", "sell_volume").sum(),
        )
        .sort("place")
        .select(parts.columns)
        .collect(engine="in-memory")
    )
