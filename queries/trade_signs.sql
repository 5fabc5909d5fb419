-- title: Bought and sold
-- question: How much was bought, how much sold, and how far does the one outweigh the other?
-- reads: trades
-- param: every DURATION = 1m  the length of a window
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ts TIMESTAMP_NS  the end T of the window (T - every, T], a multiple of `every`, UTC
-- column: trades BIGINT  how many trades
-- column: bought BIGINT  size that buyers took
-- column: sold BIGINT  size that sellers took
-- column: unknown BIGINT  size of trades without a side
-- column: signed_volume BIGINT  bought - sold
-- column: imbalance DOUBLE  (bought - sold) / (bought + sold); null if neither
-- source: trade sign: the aggressor's side, as the venue gives it; none is inferred here
WITH windows AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id,
        (epoch_ns(ts_recv) + $every - 1) // $every * $every AS ts,
        count(*) AS trades,
        coalesce(sum(size) FILTER (WHERE side = 'B'), 0)::BIGINT AS bought,
        coalesce(sum(size) FILTER (WHERE side = 'A'), 0)::BIGINT AS sold,
        coalesce(sum(size) FILTER (WHERE side = 'N'), 0)::BIGINT AS unknown
    FROM trades
    WHERE ts_recv IS NOT NULL
    GROUP BY ALL
)
SELECT symbol, publisher_id, make_timestamp_ns(ts) AS ts, trades, bought, sold, unknown,
    bought - sold AS signed_volume,
    (bought - sold) / nullif(bought + sold, 0) AS imbalance
FROM windows
ORDER BY symbol, publisher_id, ts
