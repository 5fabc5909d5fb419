-- title: Bought and sold volume
-- question: How much size was bought and sold in each window, and what is the imbalance?
-- reads: trades
-- param: every DURATION = 1m  the length of a window
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ts TIMESTAMP  end T of the window (T - every, T], a multiple of `every`, UTC
-- column: trades BIGINT  how many trades the window has
-- column: bought BIGINT  total size of trades whose aggressor bought
-- column: sold BIGINT  total size of trades whose aggressor sold
-- column: unknown BIGINT  total size of trades without a side
-- column: signed_volume BIGINT  bought - sold
-- column: imbalance DOUBLE  (bought - sold) / (bought + sold); null if both are 0
-- source: the trade sign is the aggressor's side as the venue gives it; none is inferred
WITH timed AS (
    -- A book's time is the greatest ts_recv of its trades so far; one with F_BAD_TS_RECV (8) does
    -- not count.
    SELECT *, max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
        PARTITION BY publisher_id, instrument_id, source ORDER BY position ROWS UNBOUNDED PRECEDING
    ) AS time_ns
    FROM trades
),
windows AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id,
        (time_ns + $every - 1) // $every * $every AS ts,
        count(*) AS trades,
        coalesce(sum(size) FILTER (WHERE side = 'B'), 0)::BIGINT AS bought,
        coalesce(sum(size) FILTER (WHERE side = 'A'), 0)::BIGINT AS sold,
        coalesce(sum(size) FILTER (WHERE side = 'N'), 0)::BIGINT AS unknown
    FROM timed
    WHERE time_ns IS NOT NULL
    GROUP BY ALL
)
SELECT symbol, publisher_id, make_timestamp_ns(ts) AS ts, trades, bought, sold, unknown,
    bought - sold AS signed_volume,
    (bought - sold) / nullif(bought + sold, 0) AS imbalance
FROM windows
ORDER BY symbol, publisher_id, ts
